/** How many nodes call this replica. */
export interface CallingNodes {
  /** A node has called. */
  called(nodeId: number): void;
  /** Those that have called in this period or in the one before, whichever are more. */
  readonly count: number;
}

/** Counts nodes that call at least once in a period. `now` is in milliseconds. */
export function createCallingNodes(periodMs: number, now: () => number): CallingNodes {
  let calling = new Set<number>();
  let before = 0;
  let endsAt = now() + periodMs;
  return {
    called(nodeId) {
      if (now() >= endsAt) {
        before = calling.size;
        calling = new Set();
        endsAt = now() + periodMs;
      }
      calling.add(nodeId);
    },
    get count() {
      return Math.max(before, calling.size);
    },
  };
}
