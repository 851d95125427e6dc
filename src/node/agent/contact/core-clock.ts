/** Core's time, as far as it is known here. */
export interface CoreClock {
  /** Milliseconds since 1970 by Core's clock; by this machine's while Core was never heard. */
  now(): number;
  /** Milliseconds that this machine's clock is behind Core's; undefined: not known yet. */
  offsetMs(): number | undefined;
  /** Core's time came in an answer. The call's begin and end are by {@link CoreClockOptions.uptime}. */
  heard(serverTimeMs: number, sentAt: number, receivedAt: number): void;
}

/** Options of {@link createCoreClock}. */
export interface CoreClockOptions {
  /** This machine's clock, in milliseconds since 1970. */
  readonly wall: () => number;
  /** Milliseconds that only grow, also while the machine sleeps. */
  readonly uptime: () => number;
}

interface Sample {
  /** Core's time when `uptime` was 0. */
  readonly epoch: number;
  readonly roundTripMs: number;
}

const samplesKept = 8;
const toleranceMs = 100;

/** Makes one. Steps of this machine's clock do not matter once Core was heard: time goes by the uptime from then on. */
export function createCoreClock({ wall, uptime }: CoreClockOptions): CoreClock {
  let samples: readonly Sample[] = [];
  let best: Sample | undefined;
  const now = () => (best === undefined ? wall() : best.epoch + uptime());
  return {
    now,
    offsetMs: () => (best === undefined ? undefined : Math.round(now() - wall())),
    heard(serverTimeMs, sentAt, receivedAt) {
      const sample = { epoch: serverTimeMs - (sentAt + receivedAt) / 2, roundTripMs: receivedAt - sentAt };
      const agrees = (other: Sample) =>
        Math.abs(other.epoch - sample.epoch) <= (other.roundTripMs + sample.roundTripMs) / 2 + toleranceMs;
      // One that cannot be true together with this one is from before Core's clock was set.
      samples = [...samples.filter(agrees), sample].slice(-samplesKept);
      best = samples.reduce((least, other) => (other.roundTripMs < least.roundTripMs ? other : least));
    },
  };
}
