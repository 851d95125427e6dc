import { setTimeout } from "node:timers/promises";

/** Time and chance, as arguments: a test may give its own. */
export interface Timing {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** From 0 to less than 1. */
  random(): number;
}

/** The clock and the chance of this process. */
export const realTiming: Timing = {
  now: () => performance.now(),
  sleep: (ms, signal) => setTimeout(ms, undefined, { signal }),
  random: () => Math.random(),
};

/**
 * How long to wait before another try: up to `baseMs` after the first failure, twice that after each further one,
 * never more than `limitMs`. Between a half and all of it is left to chance, so that rivals part.
 */
export function backoffMs(attempt: number, random: number, baseMs: number, limitMs: number): number {
  return Math.min(baseMs * 2 ** attempt, limitMs) * (0.5 + random / 2);
}
