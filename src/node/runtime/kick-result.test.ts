import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { KickUsersResponseSchema, LeftReason } from "../../../gen/garrison/node/v1/connections_pb.ts";
import { createLog } from "../../platform/telemetry/log.ts";
import { followKicks, nameOfReason } from "./kick-result.ts";

const log = createLog("test", "silent");
const response = create(KickUsersResponseSchema, { cut: 3, users: [{ email: "42", cut: 3 }] });

test("nothing is waited for where nobody lost anything", () => {
  expect(followKicks({ log })(undefined)).toBeUndefined();
});

test("what was cut is told, and counted", async () => {
  let counted = 0;
  const follow = followKicks({ log, onCut: (connections) => (counted += connections) });
  expect(await follow(Promise.resolve(response))).toEqual({ kind: "done", response });
  expect(counted).toBe(3);
});

test("a caller waits so long and no longer, and what is cut later is counted all the same", async () => {
  let counted = 0;
  const follow = followKicks({ log, onCut: (connections) => (counted += connections), waitMs: 20 });
  const kick = sleep(60).then(() => response);
  expect(await follow(kick)).toEqual({ kind: "pending" });
  expect(counted).toBe(0);
  await expect.poll(() => counted).toBe(3);
});

test("an engine that goes away fails no caller", async () => {
  const follow = followKicks({ log });
  expect(await follow(Promise.reject(new Error("xray went away")))).toEqual({
    kind: "failed",
    reason: "xray went away",
  });
});

test("reasons are named as REST spells them", () => {
  expect(nameOfReason(LeftReason.NOT_A_DIRECT_PEER)).toBe("not_a_direct_peer");
});
