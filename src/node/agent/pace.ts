import type { Intervals, Limits } from "../../../gen/garrison/core/v1/node_status_pb.ts";
import type { ReportKind } from "./spool/spool.ts";

/** How often Core wants to hear from the node, and how much at once: what it said last, or the usual values. */
export interface Pace {
  readonly heartbeatMs: number;
  readonly enginePollMs: number;
  /** Milliseconds within which a Core that was lost is tried again first. */
  readonly reconnectMs: number;
  /** Milliseconds between reports of a kind. */
  reportMs(kind: ReportKind): number;
  /** Entries of one report. */
  maxEntries(kind: ReportKind): number;
  /** Undefined: as fast as they are acknowledged. */
  readonly batchesPerSecond: number | undefined;
  /** Core has said something. What it does not speak of stays. True: something is to be done more or less often. */
  adopt(said: { readonly intervals?: Intervals; readonly limits?: Limits }): boolean;
  /** Core takes no more than so many entries of a kind. */
  lower(kind: ReportKind, maxEntries: number): void;
}

/** Makes it, with the usual values. */
export function createPace(): Pace {
  const intervals = { heartbeatMs: 15_000, usageMs: 60_000, enginePollMs: 10_000, sessionsMs: 30_000 };
  const most: Record<ReportKind, number> = { usage: 5_000, outbound_usage: 5_000, sessions: 2_000 };
  const lowered = new Map<ReportKind, number>();
  let batchesPerSecond: number | undefined;
  let reconnectMs = usualReconnectMs;
  return {
    get heartbeatMs() {
      return intervals.heartbeatMs;
    },
    get enginePollMs() {
      return intervals.enginePollMs;
    },
    get reconnectMs() {
      return reconnectMs;
    },
    reportMs: (kind) => (kind === "sessions" ? intervals.sessionsMs : intervals.usageMs),
    maxEntries: (kind) => Math.min(most[kind], lowered.get(kind) ?? most[kind]),
    get batchesPerSecond() {
      return batchesPerSecond;
    },
    adopt({ intervals: said, limits }) {
      const before = { ...intervals };
      for (const name of names) intervals[name] = Math.max(leastMs, said?.[name] ?? intervals[name]);
      reconnectMs = Math.max(leastMs, said?.reconnectMs ?? reconnectMs);
      if (limits !== undefined) {
        most.usage = limits.maxEntries || most.usage;
        most.outbound_usage = limits.maxEntries || most.outbound_usage;
        most.sessions = limits.maxEvents || most.sessions;
        batchesPerSecond = limits.catchUpBatchesPerSecond;
      }
      return names.some((name) => intervals[name] !== before[name]);
    },
    lower: (kind, maxEntries) => void lowered.set(kind, maxEntries),
  };
}

const names = ["heartbeatMs", "usageMs", "enginePollMs", "sessionsMs"] as const;
const usualReconnectMs = 500;
/** Nobody means to be called more often. */
const leastMs = 100;
