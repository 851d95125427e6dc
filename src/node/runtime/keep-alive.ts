import type { Clock } from "./clock.ts";

/** Stops what nobody asks for any more: `keep_alive` of the Start call. */
export interface KeepAlive {
  /** From now on, this many seconds without activity expire; 0: never. Counts as activity. */
  arm(seconds: bigint): void;
  /** Nothing expires until it is armed again. */
  disarm(): void;
  /** Somebody called, and it went well. */
  touch(): void;
}

/** How often it is looked at, as in the original: it expires up to this much late, and never early. */
const periodMs = 5_000;

/** Options of {@link createKeepAlive}. */
export interface KeepAliveOptions {
  clock: Clock;
  /** How much longer than it was armed for it waits; infinite: nothing expires. Default: 0, as in the original. */
  graceMs?: number;
  /** Something is under way that nobody may cut off: while it lasts, it counts as activity. */
  busy: () => boolean;
  /** Called once per arming. */
  expired: () => void;
}

/** Makes a watch that is not armed. */
export function createKeepAlive({ clock, graceMs = 0, busy, expired }: KeepAliveOptions): KeepAlive {
  let limitMs = 0;
  let activeAt = 0;
  let stopWatch = () => {};
  const keepAlive: KeepAlive = {
    arm(seconds) {
      keepAlive.disarm();
      keepAlive.touch();
      if (seconds === 0n || graceMs === Number.POSITIVE_INFINITY) return;
      limitMs = Number(seconds) * 1_000 + graceMs;
      stopWatch = clock.every(periodMs, () => {
        if (busy()) keepAlive.touch();
        if (clock.now() - activeAt < limitMs) return;
        keepAlive.disarm();
        expired();
      });
    },
    disarm() {
      stopWatch();
      stopWatch = () => {};
    },
    touch() {
      activeAt = clock.now();
    },
  };
  return keepAlive;
}
