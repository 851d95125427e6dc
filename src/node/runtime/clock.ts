import { performance } from "node:perf_hooks";

/** Time, as an argument. */
export interface Clock {
  /** Milliseconds that only grow, from an arbitrary moment. */
  now(): number;
  /** Runs a task every so many milliseconds until the returned function is called. */
  every(periodMs: number, task: () => void): () => void;
}

/** The time of this machine. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  every(periodMs, task) {
    const timer = setInterval(task, periodMs).unref();
    return () => clearInterval(timer);
  },
};
