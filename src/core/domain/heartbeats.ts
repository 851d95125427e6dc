import { setImmediate } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import {
  type HeartbeatRequest,
  type HeartbeatResponse,
  HeartbeatResponseSchema,
} from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { Intervals, Limits } from "../../../gen/garrison/core/v1/node_status_pb.ts";
import { pause } from "../../platform/pause.ts";
import { createCallingNodes } from "./calling-nodes.ts";
import { type HeartbeatNote, isBehind, isCopy, type NodeStanding, noteOf } from "./heartbeat.ts";
import { createMemory } from "./memory.ts";
import { reconnectMs } from "./node-terms.ts";
import { createPace } from "./pace.ts";
import { createTallies, type Tallies } from "./tallies.ts";
import { together } from "./together.ts";

/** What heartbeats ask of a store. */
export interface HeartbeatStore {
  /** Nodes that are gone are left out. */
  standings(nodeIds: readonly number[]): Promise<NodeStanding[]>;
  write(notes: readonly HeartbeatNote[]): Promise<void>;
  /** Tells operators that somebody calls with the key of a node who is not its agent. */
  noteCopy(nodeId: number, copy: NodeCopied, at: number): Promise<void>;
}

/** Options of {@link createHeartbeats}. */
export interface HeartbeatsOptions {
  store: HeartbeatStore;
  intervals: Intervals;
  limits: Limits;
  /** The oldest version of agents that Core likes to work with. Undefined: any. */
  minAgentVersion?: string | undefined;
  /** Where heartbeats are counted. Default: nowhere. */
  tallies?: Pick<Tallies, "heartbeats">;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Notes could not be written; they are tried again. */
  onProblem: (error: unknown) => void;
}

/** The heartbeats of all nodes. */
export interface Heartbeats {
  /**
   * Takes a heartbeat. It is written down within a second, together with others.
   *
   * @throws NodeGone, NodeCopied
   */
  beat(nodeId: number, request: HeartbeatRequest): Promise<HeartbeatResponse>;
  /** What heartbeats are answered has changed for these nodes; without any, for all. */
  changed(nodeIds?: readonly number[]): void;
  /** Writes down what is not yet. */
  close(): Promise<void>;
}

/** Two agents use one key. */
export class NodeCopied extends Error {
  override readonly name = "NodeCopied";
  readonly installId: string;

  constructor(installId: string) {
    super(
      "another installation uses the key of this node, and was here a moment ago: one of the two is a copy of the " +
        "other; enrol this server as a node of its own, or stop the other one",
    );
    this.installId = installId;
  }
}

/** The node was removed while it called. */
export class NodeGone extends Error {
  override readonly name = "NodeGone";

  constructor() {
    super("the node was removed");
  }
}

const writeEveryMs = 1_000;
// How long an answer may lag behind what operators do when the word of it is lost.
const rememberedMs = 5_000;
const mostRemembered = 50_000;
// As long as a node that is silent is not yet taken for offline.
const silentAfterBeats = 5;

/** Answers heartbeats from memory, and writes them down once a second. */
export function createHeartbeats(options: HeartbeatsOptions): Heartbeats {
  const { store, intervals, limits, minAgentVersion = "", tallies = createTallies(), now, onProblem } = options;
  const find = together<number, NodeStanding>(async (nodeIds) => {
    const standings = await store.standings(nodeIds);
    return new Map(standings.map((standing) => [standing.nodeId, standing]));
  });
  const memory = createMemory<NodeStanding>({
    load: (nodeId) => find(Number(nodeId)),
    ttlMs: rememberedMs,
    capacity: mostRemembered,
    now,
  });
  const silentMs = silentAfterBeats * (intervals.heartbeatMs ?? 0);
  // Each beats in it, though somewhat late.
  const calling = createCallingNodes(1.5 * (intervals.heartbeatMs ?? 0), now);
  let taken = new Map<number, Taken>();
  const closed = new AbortController();

  async function write() {
    const written = taken;
    taken = new Map();
    if (written.size === 0) return;
    try {
      const notes = await notesOf(written.values());
      await store.write(notes.toSorted((one, other) => one.nodeId - other.nodeId));
      const moved = notes.filter(({ nodeId, installId, syncStatus }) => {
        const { standing } = written.get(nodeId) ?? {};
        return syncStatus !== "" || (installId !== "" && installId !== standing?.installId);
      });
      if (moved.length > 0) changed(moved.map(({ nodeId }) => nodeId));
    } catch (error) {
      // What came meanwhile is newer.
      taken = new Map([...written, ...taken]);
      onProblem(error);
    }
  }

  async function writeOnAndOn() {
    while (await pause(writeEveryMs, closed.signal)) await write();
    await write();
  }
  const writing = writeOnAndOn();

  function changed(nodeIds?: readonly number[]): void {
    const ids = nodeIds && new Set(nodeIds);
    memory.forget(ids && (({ nodeId }) => ids.has(nodeId)));
  }

  async function refuse(nodeId: number, installId: string, at: number): Promise<never> {
    const copy = new NodeCopied(installId);
    await store.noteCopy(nodeId, copy, at);
    throw copy;
  }

  return {
    async beat(nodeId, request) {
      const remembered = memory.get(`${nodeId}`);
      const standing = remembered instanceof Promise ? await remembered : remembered;
      if (standing === undefined) throw new NodeGone();
      const at = now();
      if (isCopy(after(standing, taken.get(nodeId)), request.installId, at, silentMs))
        return refuse(nodeId, request.installId, at);
      taken.set(nodeId, { standing, request, at });
      tallies.heartbeats += 1;
      calling.called(nodeId);
      return create(HeartbeatResponseSchema, {
        ok: true,
        needSync: isBehind(standing, request),
        ...(request.protocolVersion > 0 && {
          ...(standing.desiredRevision > 0 && { desiredRevision: BigInt(standing.desiredRevision) }),
          desiredDigest: standing.desiredDigest,
          intervals: { ...intervals, reconnectMs: intervals.reconnectMs ?? reconnectMs(calling.count) },
          limits,
          serverTimeMs: BigInt(at),
          rotateKey: standing.rotateKey,
          drain: standing.draining,
          minAgentVersion,
        }),
      });
    },
    changed,
    async close() {
      closed.abort();
      await writing;
    },
  };
}

/** Those of thousands of nodes take long enough to let others have a turn. */
async function notesOf(taken: Iterable<Taken>): Promise<HeartbeatNote[]> {
  const pace = createPace(
    () => setImmediate(),
    () => performance.now(),
  );
  const notes: HeartbeatNote[] = [];
  for (const { standing, request, at } of taken) {
    notes.push(noteOf(standing, request, at));
    const rest = pace();
    if (rest !== undefined) await rest;
  }
  return notes;
}

/** A heartbeat that is not written down yet. */
interface Taken {
  readonly standing: NodeStanding;
  readonly request: HeartbeatRequest;
  readonly at: number;
}

/** Where a node stands when what was taken is written down. */
function after(standing: NodeStanding, taken: Taken | undefined): NodeStanding {
  if (taken === undefined) return standing;
  return { ...standing, installId: taken.request.installId || standing.installId, lastSeenAt: taken.at };
}
