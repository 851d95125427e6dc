import { join } from "node:path";
import { nextTick as onNextTick } from "node:process";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { fromBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AlterInboundResponseSchema, HandlerService } from "../../../../gen/xray/app/proxyman/command/command_pb.ts";
import {
  QueryStatsRequestSchema,
  QueryStatsResponseSchema,
  StatsService,
} from "../../../../gen/xray/app/stats/command/command_pb.ts";
import { finish, refuse, reply, startXrayStandIn, type XrayStandIn } from "../../../../test/engines/xray-stand-in.ts";
import { EngineUnreachable } from "../engine-error.ts";
import { XrayApi, XrayRefusal } from "./api.ts";

const nextTick = promisify<void>((done) => onNextTick(done));
let xray: XrayStandIn;
let api: XrayApi;

const { queryStats } = StatsService.method;
const { alterInbound } = HandlerService.method;

beforeEach(async () => {
  xray = await startXrayStandIn();
  api = new XrayApi(xray.socketPath);
});
afterEach(async () => {
  api.close();
  await xray.close();
});

test("many calls go over one connection, each with its own answer", async () => {
  xray.answer = (stream, message) => {
    const { pattern } = fromBinary(QueryStatsRequestSchema, message);
    reply(stream, QueryStatsResponseSchema, { stat: [{ name: pattern }] });
  };
  const names = Array.from({ length: 500 }, (_, index) => `pattern-${index}`);
  const replies = await Promise.all(names.map((pattern) => api.call(queryStats, { pattern })));
  expect(replies.map(({ stat }) => stat[0]?.name)).toEqual(names);
  expect(xray.sessions).toHaveLength(1);
});

test("a reply of many megabytes comes whole", async () => {
  const name = "user>>>somebody@example.org>>>traffic>>>uplink";
  const stat = Array.from({ length: 200_000 }, (_, index) => ({ name, value: BigInt(index) << 33n }));
  xray.answer = (stream) => reply(stream, QueryStatsResponseSchema, { stat });
  const answer = await api.call(queryStats, { pattern: "user" });
  expect(answer.stat).toHaveLength(stat.length);
  expect(answer.stat.at(-1)).toMatchObject({ name, value: 199_999n << 33n });
});

test("what Xray refuses is told in its words", async () => {
  xray.answer = (stream) => refuse(stream, 2, "User%20%D0%B0 already exists.");
  await expect(api.call(alterInbound, {})).rejects.toThrow(new XrayRefusal("User а already exists."));
});

test("an error of the transport is not Xray's refusal", async () => {
  xray.answer = (stream) => refuse(stream, 12, "unknown service");
  await expect(api.call(alterInbound, {})).rejects.toThrow(new EngineUnreachable("unknown service (gRPC code 12)"));
});

test("a reply that is cut off, or is none, is an error", async () => {
  xray.answer = (stream) => finish(stream, Buffer.from([0, 0, 0, 0, 9, 1]));
  await expect(api.call(queryStats, {})).rejects.toThrow(EngineUnreachable);
  xray.answer = (stream) => stream.respond({ ":status": 502 }, { endStream: true });
  await expect(api.call(queryStats, {})).rejects.toThrow(EngineUnreachable);
});

test("a call that is not answered ends in time, and the next one works", async () => {
  await expect(api.call(queryStats, {}, 50)).rejects.toThrow("xray did not answer within 50 ms");
  xray.answer = (stream) => reply(stream, QueryStatsResponseSchema);
  await expect(api.call(queryStats, {})).resolves.toMatchObject({ stat: [] });
});

test("a read is repeated when the connection turns out to be gone; a change is not", async () => {
  xray.answer = (stream) => reply(stream, QueryStatsResponseSchema);
  await api.call(queryStats, {});
  const dieOnce =
    (then: XrayStandIn["answer"]): XrayStandIn["answer"] =>
    (stream) => {
      xray.answer = then;
      stream.session?.destroy();
    };
  xray.answer = dieOnce((stream) => reply(stream, QueryStatsResponseSchema, { stat: [{ name: "second" }] }));
  await expect(api.call(queryStats, {})).resolves.toMatchObject({ stat: [{ name: "second" }] });
  xray.answer = dieOnce((stream) => reply(stream, AlterInboundResponseSchema));
  await expect(api.call(alterInbound, {})).rejects.toThrow(EngineUnreachable);
  await expect(api.call(alterInbound, {})).resolves.toBeDefined();
  expect(xray.sessions).toHaveLength(3);
});

test.each([
  ["is lost", (xray: XrayStandIn) => xray.drop()],
  ["is destroyed", (xray: XrayStandIn) => xray.sessions[0]?.destroy()],
  ["takes its leave", (xray: XrayStandIn) => xray.sessions[0]?.close()],
])("a read is answered at every moment while the connection %s", async (_how, leave) => {
  xray.answer = (stream) => reply(stream, QueryStatsResponseSchema);
  await api.call(queryStats, {});
  const calls = Array.from({ length: 20 }, () => api.call(queryStats, {}));
  leave(xray);
  while (xray.sessions.length < 2) {
    calls.push(api.call(queryStats, {}));
    for (const moment of [() => Promise.resolve(), nextTick, setImmediate]) {
      await moment();
      calls.push(api.call(queryStats, {}));
    }
  }
  expect(await Promise.allSettled(calls)).toEqual(calls.map(() => expect.objectContaining({ status: "fulfilled" })));
});

test("every call is told by its method", async () => {
  const methods: string[] = [];
  const counted = new XrayApi(xray.socketPath, (method) => methods.push(method));
  xray.answer = (stream) => reply(stream, QueryStatsResponseSchema);
  await counted.call(queryStats, {});
  xray.answer = (stream) => refuse(stream, 2, "no");
  await counted.call(alterInbound, {}).catch(() => undefined);
  expect(methods).toEqual(["QueryStats", "AlterInbound"]);
  counted.close();
});

test("without anybody listening a call fails at once", async () => {
  const nobody = new XrayApi(join(xray.directory, "nobody.sock"));
  await expect(nobody.call(queryStats, {})).rejects.toThrow(/ENOENT/);
  nobody.close();
});

test("closing ends calls in flight", async () => {
  const call = api.call(queryStats, {});
  setTimeout(() => api.close(), 20);
  await expect(call).rejects.toThrow(EngineUnreachable);
  await expect(api.call(queryStats, {})).rejects.toThrow("the connection to xray is closed");
});
