import { create, fromBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  AddInboundRequestSchema,
  AddInboundResponseSchema,
  AddOutboundRequestSchema,
  RemoveInboundRequestSchema,
} from "../../../../gen/xray/app/proxyman/command/command_pb.ts";
import { AddRuleRequestSchema } from "../../../../gen/xray/app/router/command/command_pb.ts";
import { TypedMessageSchema } from "../../../../gen/xray/common/serial/typed_message_pb.ts";
import { InboundHandlerConfigSchema, OutboundHandlerConfigSchema } from "../../../../gen/xray/core/config_pb.ts";
import { refuse, reply, startXrayStandIn, type XrayStandIn } from "../../../../test/engines/xray-stand-in.ts";
import { XrayApi } from "./api.ts";
import { canTakeSteps, StepFailed, takeSteps } from "./structure.ts";
import type { StructureStep } from "./structure-diff.ts";
import type { TypedConfig } from "./typed-config.ts";

let xray: XrayStandIn;
let api: XrayApi;
let calls: string[];
/** What Xray answers to a call, such as `AddInbound a new`: an error's text, or undefined. */
let errorOf: (call: string) => string | "dies" | undefined;

beforeEach(async () => {
  xray = await startXrayStandIn();
  api = new XrayApi(xray.socketPath);
  calls = [];
  errorOf = () => undefined;
  xray.answer = (stream, message, path) => {
    const name = path.split("/").at(-1) ?? "";
    const call = `${name} ${described(name, message)}`;
    calls.push(call);
    const error = errorOf(call);
    if (error === undefined) reply(stream, AddInboundResponseSchema);
    else if (error === "dies") stream.session?.destroy();
    else refuse(stream, 2, error);
  };
});
afterEach(async () => {
  api.close();
  await xray.close();
});

function described(name: string, message: Uint8Array): string {
  if (name === "AddRule") return fromBinary(AddRuleRequestSchema, message).config?.type ?? "";
  if (name === "AddInbound") {
    const { inbound } = fromBinary(AddInboundRequestSchema, message);
    return `${inbound?.tag} ${inbound?.proxySettings?.type}`;
  }
  if (name === "AddOutbound") {
    const { outbound } = fromBinary(AddOutboundRequestSchema, message);
    return `${outbound?.tag} ${outbound?.proxySettings?.type}`;
  }
  return fromBinary(RemoveInboundRequestSchema, message).tag;
}

/** A config in which every part says whose it is. */
function typed(type: string, bytes = 0): TypedConfig {
  const part = create(TypedMessageSchema, { type, value: new Uint8Array(bytes) });
  return {
    inbounds: new Map(["a", "b"].map((tag) => [tag, create(InboundHandlerConfigSchema, { tag, proxySettings: part })])),
    outbounds: new Map([["x", create(OutboundHandlerConfigSchema, { tag: "x", proxySettings: part })]]),
    routing: part,
  };
}

const steps: StructureStep[] = [
  { kind: "removeOutbound", tag: "x" },
  { kind: "addOutbound", tag: "x" },
  { kind: "setRouting" },
  { kind: "removeInbound", tag: "a" },
  { kind: "addInbound", tag: "a" },
  { kind: "addInbound", tag: "b" },
];
const forward = [
  "RemoveOutbound x",
  "AddOutbound x new",
  "AddRule new",
  "RemoveInbound a",
  "AddInbound a new",
  "AddInbound b new",
];
const backward = [
  "RemoveInbound b",
  "RemoveInbound a",
  "AddInbound a old",
  "AddRule old",
  "RemoveOutbound x",
  "AddOutbound x old",
];
const take = () => takeSteps(api, steps, typed("new"), async () => typed("old"));

test("steps are taken one after another, and nobody asks for what was before", async () => {
  const before = async () => {
    throw new Error("asked");
  };
  await takeSteps(api, steps, typed("new"), before);
  expect(calls).toEqual(forward);
});

test.each(forward.map((call, index) => [call, index] as const))(
  "when %s fails, it and all before it are undone, the last first",
  async (call, index) => {
    errorOf = (asked) => (asked === call ? "bind: address already in use" : undefined);
    const failure = await take().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StepFailed);
    expect(failure).toMatchObject({ message: "bind: address already in use", restored: true });
    expect(calls).toEqual([...forward.slice(0, index + 1), ...backward.slice(forward.length - 1 - index)]);
  },
);

test("what is gone already, or back already, does not stand in the way", async () => {
  errorOf = (call) =>
    call === "RemoveInbound a"
      ? "common: not enough information for making a decision"
      : call === "AddInbound b new"
        ? "no"
        : call.endsWith("old") && !call.startsWith("AddRule")
          ? "existing tag found: x"
          : undefined;
  await expect(take()).rejects.toMatchObject({ message: "no", restored: true });
});

test("when the way back is barred, that is said", async () => {
  errorOf = (call) => (call === "AddInbound b new" || call === "AddInbound a old" ? "no" : undefined);
  await expect(take()).rejects.toMatchObject({ message: "no", restored: false });
  const lost = takeSteps(api, steps, typed("new"), () => Promise.reject(new Error("cannot be read")));
  await expect(lost).rejects.toMatchObject({ message: "no", restored: false });
});

test("when Xray goes away, nothing is known any more", async () => {
  errorOf = (call) => (call === "AddInbound a new" || call.endsWith("old") ? "dies" : undefined);
  await expect(take()).rejects.toMatchObject({ name: "StepFailed", restored: false });
});

test("steps that Xray's gRPC would not take, or without their part, are known before", () => {
  expect(canTakeSteps(steps, typed("new"))).toBe(true);
  expect(canTakeSteps(steps, typed("new", 4 << 20))).toBe(false);
  expect(canTakeSteps(steps, { ...typed("new"), routing: undefined })).toBe(false);
  expect(canTakeSteps(steps, { ...typed("new"), inbounds: new Map() })).toBe(false);
  expect(canTakeSteps(steps.slice(0, 1), { inbounds: new Map(), outbounds: new Map(), routing: undefined })).toBe(true);
});
