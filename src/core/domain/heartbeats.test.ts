import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { HeartbeatRequestSchema } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { HeartbeatNote, NodeStanding } from "./heartbeat.ts";
import { createHeartbeats, type Heartbeats, NodeCopied, NodeGone } from "./heartbeats.ts";
import { nodeLimits, usualIntervals } from "./node-terms.ts";

// The rules between memory and store; what the real stores do is tested with them.
const world = { now: 0, standings: new Map<number, NodeStanding>(), asked: [] as number[][], fail: false };
let written: HeartbeatNote[][];
let problems: unknown[];
let copies: number[];
let heartbeats: Heartbeats;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  [written, problems, copies, world.asked] = [[], [], [], []];
  world.now = 1_000_000;
  world.standings = new Map([1, 2, 3].map((nodeId) => [nodeId, standingOf(nodeId)]));
  heartbeats = createHeartbeats({
    store: {
      async standings(nodeIds) {
        world.asked.push([...nodeIds]);
        return nodeIds.flatMap((id) => world.standings.get(id) ?? []);
      },
      async write(notes) {
        if (world.fail) throw new Error("the database is busy");
        written.push([...notes]);
      },
      noteCopy: async (nodeId) => void copies.push(nodeId),
    },
    intervals: usualIntervals,
    limits: nodeLimits,
    minAgentVersion: "1.4.0",
    now: () => world.now,
    onProblem: (error) => problems.push(error),
  });
});
afterEach(async () => {
  vi.useRealTimers();
  world.fail = false;
  await heartbeats.close();
});

function standingOf(nodeId: number): NodeStanding {
  return {
    nodeId,
    installId: "",
    lastSeenAt: null,
    desiredRevision: 1,
    desiredDigest: "d",
    syncStatus: "synced",
    rotateKey: false,
    draining: false,
  };
}
const beat = (nodeId: number, init: MessageInitShape<typeof HeartbeatRequestSchema> = {}) =>
  heartbeats.beat(nodeId, create(HeartbeatRequestSchema, init));

test("many heartbeats are one question, and none while the answer is remembered", async () => {
  await Promise.all([beat(1), beat(2), beat(1), beat(3)]);
  await Promise.all([beat(1), beat(2)]);
  expect(world.asked).toEqual([[1, 2, 3]]);
  world.now += 5_000;
  await beat(1);
  heartbeats.changed([2]);
  await Promise.all([beat(1), beat(2)]);
  expect(world.asked).toEqual([[1, 2, 3], [1], [2]]);
});

test("the oldest version that Core likes is told to those who know of it", async () => {
  expect((await beat(1, { protocolVersion: 1 })).minAgentVersion).toBe("1.4.0");
  expect((await beat(1)).minAgentVersion).toBe("");
});

test.each([
  [3, 500],
  [1_000, 3_000],
  [50_000, 60_000],
])("%d nodes that call are told to come back within %d ms", async (count, expected) => {
  const nodeIds = Array.from({ length: count }, (_, index) => index + 1);
  for (const nodeId of nodeIds) world.standings.set(nodeId, standingOf(nodeId));
  await Promise.all(nodeIds.map((nodeId) => beat(nodeId)));
  const { intervals } = await beat(1, { protocolVersion: 1 });
  expect(intervals).toEqual({ ...usualIntervals, reconnectMs: expected });
});

test("they are closed with all written down, the last of each node, by node", async () => {
  await Promise.all([beat(3), beat(1)]);
  world.now += 10;
  await beat(3, { ip: "192.0.2.3" });
  vi.useRealTimers();
  await heartbeats.close();
  expect(written).toHaveLength(1);
  expect(written[0]).toMatchObject([
    { nodeId: 1, at: 1_000_000 },
    { nodeId: 3, at: 1_000_010, ip: "192.0.2.3" },
  ]);
});

test("what could not be written is tried again, unless something newer came", async () => {
  vi.useRealTimers();
  world.fail = true;
  await Promise.all([beat(1), beat(2)]);
  await vi.waitFor(() => expect(problems).toHaveLength(1), 3_000);
  world.now += 10;
  await beat(2, { ip: "192.0.2.2" });
  world.fail = false;
  await heartbeats.close();
  expect(written.flat()).toMatchObject([
    { nodeId: 1, ip: "" },
    { nodeId: 2, ip: "192.0.2.2", at: 1_000_010 },
  ]);
});

test("a node and its copy are told apart before anything is written down", async () => {
  await beat(1, { installId: "one" });
  world.now += 74_999;
  heartbeats.changed();
  await expect(beat(1, { installId: "two" })).rejects.toThrow(NodeCopied);
  expect(copies).toEqual([1]);
  await expect(beat(1, { installId: "one" })).resolves.toMatchObject({ ok: true });
  world.now += 75_000;
  await expect(beat(1, { installId: "two" })).resolves.toMatchObject({ ok: true });
  await expect(beat(1, { installId: "one" })).rejects.toThrow(NodeCopied);
});

test("a node that is not there is told so", async () => {
  await expect(beat(9)).rejects.toThrow(NodeGone);
});

test("an agent that knows the documented routes only gets nothing else", async () => {
  const { $typeName: _, ...answer } = await beat(1, { revision: 1n });
  expect(answer).toEqual({
    ok: true,
    needSync: false,
    desiredDigest: "",
    rotateKey: false,
    drain: false,
    minAgentVersion: "",
  });
});
