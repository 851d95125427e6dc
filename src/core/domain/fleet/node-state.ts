/** How a node does: the spellings of `NodeState`. */
export type NodeState = "pending" | "online" | "stale" | "offline" | "error" | "disabled";

/** What is known of a node. Times are milliseconds since 1970. */
export interface NodeSigns {
  readonly disabled: boolean;
  readonly enrolledAt: number | null;
  readonly lastSeenAt: number | null;
  readonly inError: boolean;
}

/** After how many missed heartbeats a node is taken for stale, and for offline. */
const staleAfter = 3;
const offlineAfter = 5;

/** The times before which a node must not have been heard of last, to be stale, and to be offline. */
export function silenceLimits(now: number, heartbeatMs: number): { stale: number; offline: number } {
  return { stale: now - staleAfter * heartbeatMs, offline: now - offlineAfter * heartbeatMs };
}

/** How a node does at `now`. */
export function nodeState(node: NodeSigns, now: number, heartbeatMs: number): NodeState {
  const limits = silenceLimits(now, heartbeatMs);
  if (node.disabled) return "disabled";
  if (node.enrolledAt === null) return "pending";
  if (node.lastSeenAt === null || node.lastSeenAt < limits.offline) return "offline";
  if (node.inError) return "error";
  return node.lastSeenAt < limits.stale ? "stale" : "online";
}
