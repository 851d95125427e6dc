import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { StatRequestSchema, StatType } from "../../../gen/service/node_pb.ts";
import type { TrafficCounter } from "../engines/engine.ts";
import { InvalidStatRequest, statsOf, trafficQueryOf } from "./stat-request.ts";

const queryOf = (request: MessageInitShape<typeof StatRequestSchema>) =>
  trafficQueryOf(create(StatRequestSchema, request));

describe("trafficQueryOf", () => {
  it.each([
    [
      { type: StatType.Outbounds, name: "ignored" },
      { kind: "outbound", name: undefined, reset: false },
    ],
    [
      { type: StatType.Outbound, name: "direct", reset: true },
      { kind: "outbound", name: "direct", reset: true },
    ],
    [{ type: StatType.Inbounds }, { kind: "inbound", name: undefined, reset: false }],
    [
      { type: StatType.Inbound, name: "vless" },
      { kind: "inbound", name: "vless", reset: false },
    ],
    [
      { type: StatType.UsersStat, name: "ignored", reset: true },
      { kind: "user", name: undefined, reset: true },
    ],
    [
      { type: StatType.UserStat, name: "42" },
      { kind: "user", name: "42", reset: false },
    ],
    [{}, { kind: "outbound", name: undefined, reset: false }],
  ])("%o asks for %o", (request, query) => {
    expect(queryOf(request)).toEqual(query);
  });

  it.each([
    [StatType.Outbound, "tag required"],
    [StatType.Inbound, "tag required"],
    [StatType.UserStat, "email required"],
    [9 as StatType, "not implemented stat type"],
    [-1 as StatType, "not implemented stat type"],
  ])("type %i without a name is answered: %s", (type, text) => {
    expect(() => queryOf({ type })).toThrow(new InvalidStatRequest(text));
  });
});

describe("statsOf", () => {
  const counter = (uplinkBytes: bigint, downlinkBytes: bigint): TrafficCounter => ({
    kind: "user",
    name: "42",
    link: "traffic",
    uplinkBytes,
    downlinkBytes,
  });
  const shown = (counters: TrafficCounter[], type: StatType, name = "42") =>
    statsOf(counters, queryOf({ type, name })).map((stat) => [stat.name, stat.link, stat.type, stat.value]);

  it("is one stat for each direction", () => {
    expect(shown([counter(1n, 2n)], StatType.UsersStat)).toEqual([
      ["42", "traffic", "uplink", 1n],
      ["42", "traffic", "downlink", 2n],
    ]);
  });

  it("leaves zeros out of all users", () => {
    const counters = [counter(0n, 2n), counter(1n, 0n), counter(0n, 0n)];
    expect(shown(counters, StatType.UsersStat).map(([, , type, value]) => [type, value])).toEqual([
      ["downlink", 2n],
      ["uplink", 1n],
    ]);
  });

  it.each([
    ["one user", StatType.UserStat],
    ["all outbounds", StatType.Outbounds],
    ["one outbound", StatType.Outbound],
    ["all inbounds", StatType.Inbounds],
    ["one inbound", StatType.Inbound],
  ])("keeps zeros of %s", (_, type) => {
    expect(shown([counter(0n, 0n)], type)).toHaveLength(2);
  });
});
