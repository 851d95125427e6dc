/** Wakes those who wait for a node's config to change. */
export interface ConfigNews {
  /** The present, for {@link next}. */
  now(): number;
  /**
   * Resolves when there may be a newer config for the node than at `since`, or when the time is up or the signal
   * aborted: whoever waited looks for itself.
   */
  next(nodeId: number, since: number, ms: number, signal: AbortSignal): Promise<void>;
  /** There may be newer configs for these nodes; without any, for all. */
  arrived(nodeIds?: readonly number[]): void;
}

/** Makes {@link ConfigNews}. */
export function createConfigNews(): ConfigNews {
  const waiting = new Map<number, Set<() => void>>();
  /** When there was news of a node, and of all, in numbers of news. */
  const newest = new Map<number, number>();
  let newestOfAll = 0;
  let count = 0;

  return {
    now: () => count,
    next(nodeId, since, ms, signal) {
      if (signal.aborted || Math.max(newest.get(nodeId) ?? 0, newestOfAll) > since) return Promise.resolve();
      return new Promise((resolve) => {
        const ofNode = waiting.get(nodeId) ?? new Set();
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", done);
          ofNode.delete(done);
          if (ofNode.size === 0 && waiting.get(nodeId) === ofNode) waiting.delete(nodeId);
          resolve();
        };
        const timer = setTimeout(done, ms).unref();
        signal.addEventListener("abort", done);
        waiting.set(nodeId, ofNode.add(done));
      });
    },
    arrived(nodeIds) {
      count++;
      if (nodeIds === undefined) newestOfAll = count;
      for (const nodeId of nodeIds ?? waiting.keys()) {
        newest.set(nodeId, count);
        for (const done of waiting.get(nodeId) ?? []) done();
      }
    },
  };
}
