import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { HeartbeatRequestSchema } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { ApplyState } from "../../../gen/garrison/core/v1/node_status_pb.ts";
import { isBehind, isCopy, type NodeStanding, noteOf } from "./heartbeat.ts";

const standing: NodeStanding = {
  nodeId: 7,
  installId: "one",
  lastSeenAt: 1_000,
  desiredRevision: 5,
  desiredDigest: "abc",
  syncStatus: "pending",
  rotateKey: false,
  draining: false,
};
const beat = (init: MessageInitShape<typeof HeartbeatRequestSchema>) => create(HeartbeatRequestSchema, init);

test.each([
  [{}, true],
  [{ revision: 4n }, true],
  [{ revision: 6n }, true],
  [{ revision: 5n }, false],
  [{ revision: 5n, digest: "abc" }, false],
  [{ revision: 5n, digest: "abd" }, true],
  [{ digest: "abc" }, true],
])("a node that tells %o is behind: %s", (told, behind) => {
  expect(isBehind(standing, beat(told))).toBe(behind);
});

test.each([{}, { revision: 3n }, { revision: 3n, digest: "x" }])(
  "a node for which nothing was published is not behind, though it tells %o",
  (told) => {
    expect(isBehind({ ...standing, desiredRevision: 0, desiredDigest: "" }, beat(told))).toBe(false);
  },
);

test.each([
  ["one", "one", 1_000, 1_001, false],
  ["one", "two", 1_000, 1_074, true],
  ["one", "two", 1_000, 1_075, false],
  ["one", "two", null, 1_001, false],
  ["", "two", 1_000, 1_001, false],
  ["one", "", 1_000, 1_001, false],
])("known as %j, called by %j, seen at %s, now %i: a copy: %s", (installId, caller, lastSeenAt, now, copy) => {
  expect(isCopy({ ...standing, installId, lastSeenAt }, caller, now, 75)).toBe(copy);
});

describe("the sync status", () => {
  test.each([
    ["pending", { revision: 4n, applyState: ApplyState.APPLYING }, "syncing"],
    ["pending", { revision: 4n, applyState: ApplyState.ROLLED_BACK }, "rolled_back"],
    ["pending", { applyState: ApplyState.FAILED }, "failed"],
    ["syncing", { revision: 4n, applyState: ApplyState.APPLYING }, ""],
    ["pending", { revision: 4n, applyState: ApplyState.SYNCED }, ""],
    ["pending", { revision: 4n }, ""],
    ["pending", { revision: 5n, applyState: ApplyState.SYNCED }, ""],
    ["pending", { revision: 5n, applyState: ApplyState.APPLYING }, ""],
    ["synced", { revision: 5n, digest: "abc" }, ""],
    ["synced", { revision: 5n, digest: "abd" }, "drifted"],
    ["synced", { revision: 4n, applyState: ApplyState.APPLYING }, ""],
    ["failed", { revision: 4n, applyState: ApplyState.APPLYING }, "syncing"],
  ])("%s, after %o, becomes %j (empty: stays)", (syncStatus, told, becomes) => {
    expect(noteOf({ ...standing, syncStatus }, beat(told), 0)).toMatchObject({
      syncStatus: becomes,
      desiredRevision: 5,
    });
  });
});

test.each([
  ["203.0.113.9", "203.0.113.9"],
  ["2001:db8::7", "2001:db8::7"],
  ["fra-1.example.org", ""],
  ["", ""],
])("of the address %j %j is noted", (ip, noted) => {
  expect(noteOf(standing, beat({ ip }), 0).ip).toBe(noted);
});

test("no text is noted that a database does not keep", () => {
  const lastError = { code: "\0a", message: "b\0" };
  const note = noteOf(standing, beat({ installId: "c\0", agentVersion: "\0d", capabilities: ["\0"], lastError }), 0);
  expect(Object.values(note).filter((value) => `${value}`.includes("\0"))).toEqual([]);
  expect(note).toMatchObject({ faultCode: "a", faultMessage: "b", installId: "c", agentVersion: "d" });
});

test("what was not told is noted as nothing", () => {
  expect(noteOf(standing, beat({}), 9)).toEqual({
    nodeId: 7,
    at: 9,
    ip: "",
    installId: "",
    agentVersion: "",
    protocolVersion: 0,
    capabilities: "",
    observed: "{}",
    syncStatus: "",
    syncStatusBefore: "pending",
    desiredRevision: 5,
    faultCode: "",
    faultMessage: "",
  });
});
