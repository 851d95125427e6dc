import { CoreAway } from "./core-client.ts";

/** How long to wait before the next try. */
export interface Backoff {
  /** Milliseconds until the next try after this failure: up to twice as many each time, and what Core asks for. */
  after(error: unknown): number;
  /** It went well. */
  reset(): void;
}

const usualFirstMs = 500;
const mostMs = 60_000;

/** Options of {@link createBackoff}. */
export interface BackoffOptions {
  /** Milliseconds that the wait after the first failure has at the most. Default: 500. */
  readonly firstMs?: () => number;
  /** From 0 to less than 1. */
  readonly random?: () => number;
}

/** Makes one. Each wait is {@link spread}, so that a fleet does not come back at once. */
export function createBackoff({ firstMs = () => usualFirstMs, random = Math.random }: BackoffOptions = {}): Backoff {
  let failures = 0;
  return {
    after(error) {
      const ceiling = Math.min(mostMs, firstMs() * 2 ** failures);
      failures = Math.min(failures + 1, 16);
      const askedMs = error instanceof CoreAway ? (error.retryAfterMs ?? 0) : 0;
      return askedMs + spread(ceiling, random);
    },
    reset() {
      failures = 0;
    },
  };
}

/**
 * A time within which a fleet comes back, each of its nodes at another moment. Nobody does in the first tenth of it, in
 * which Core is still about the connections that all of them have lost.
 */
export function spread(ms: number, random: () => number = Math.random): number {
  return ms * (0.1 + 0.9 * random());
}

/** A period with up to 10 percent more or less. */
export function jittered(periodMs: number, random: () => number = Math.random): number {
  return periodMs * (0.9 + 0.2 * random());
}
