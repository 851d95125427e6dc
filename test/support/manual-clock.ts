import type { Clock } from "../../src/node/runtime/clock.ts";

/** Time that stands still until it is advanced. */
export interface ManualClock extends Clock {
  advance(ms: number): void;
  /** Timers that are running. */
  readonly timers: number;
}

/** Makes a clock that starts at 0. */
export function createManualClock(): ManualClock {
  let now = 0;
  const timers = new Set<{ at: number; periodMs: number; task: () => void }>();
  const nextBefore = (end: number) =>
    [...timers].filter((timer) => timer.at <= end).sort((left, right) => left.at - right.at)[0];
  return {
    now: () => now,
    every(periodMs, task) {
      const timer = { at: now + periodMs, periodMs, task };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance(ms) {
      const end = now + ms;
      for (let timer = nextBefore(end); timer !== undefined; timer = nextBefore(end)) {
        now = timer.at;
        timer.at += timer.periodMs;
        timer.task();
      }
      now = end;
    },
    get timers() {
      return timers.size;
    },
  };
}
