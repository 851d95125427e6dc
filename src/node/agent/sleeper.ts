import { pause } from "../../platform/pause.ts";

/** Sleeps until it is time, or until somebody wakes it. */
export interface Sleeper {
  /** Waits; returns at once when it was woken since it slept last. */
  sleep(ms: number): Promise<void>;
  wake(): void;
}

/** Makes one. It wakes for good when the signal aborts. */
export function createSleeper(signal: AbortSignal): Sleeper {
  let waking = new AbortController();
  return {
    async sleep(ms) {
      await pause(ms, AbortSignal.any([signal, waking.signal]));
      waking = new AbortController();
    },
    wake: () => waking.abort(),
  };
}
