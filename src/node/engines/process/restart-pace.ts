/** Decides how soon an engine is started again. */
export interface RestartPace {
  /** After an engine that had been running ended: milliseconds until it is started again. */
  afterExit(): number;
  /** After it did not come up. */
  afterFailure(): number;
}

/**
 * An engine that ran is back at once, unless it went away five times within a minute; then, and when it does not come
 * up, it waits 1, 2, 4 … 60 seconds. `now` tells the time in milliseconds.
 */
export function createRestartPace(now: () => number): RestartPace {
  let exits: number[] = [];
  let failures = 0;
  const afterFailure = () => Math.min(60_000, 1_000 * 2 ** failures++);
  return {
    afterFailure,
    afterExit() {
      exits = [...exits.filter((time) => now() - time < 60_000), now()];
      if (exits.length > 5) return afterFailure();
      failures = 0;
      return 0;
    },
  };
}
