import { create } from "@bufbuild/protobuf";
import {
  type Intervals,
  IntervalsSchema,
  type Limits,
  LimitsSchema,
} from "../../../gen/garrison/core/v1/node_status_pb.ts";

/** How often Core hears from nodes unless it says otherwise: the usual values of the contract. */
export const usualIntervals: Intervals = create(IntervalsSchema, {
  heartbeatMs: 15_000,
  usageMs: 60_000,
  enginePollMs: 10_000,
  sessionsMs: 30_000,
});

/** Milliseconds over which so many nodes come back when they have lost Core. */
export function reconnectMs(nodes: number): number {
  return Math.min(Math.max(leastReconnectMs, nodes * reconnectMsOfNode), mostReconnectMs);
}

const leastReconnectMs = 500;
// Twice what a connection and its first call cost: the replica has more to do.
const reconnectMsOfNode = 3;
const mostReconnectMs = 60_000;

/** What Core accepts in one request of a node. */
export const nodeLimits: Limits = create(LimitsSchema, {
  maxEntries: 5_000,
  maxEvents: 2_000,
  maxBytes: 1024 * 1024,
});
