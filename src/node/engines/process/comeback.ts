import type { InTurn } from "../../../platform/in-turn.ts";
import { createRestartPace } from "./restart-pace.ts";

/** Brings back what is to run and went away, or did not come up. */
export interface Comeback<T> {
  /** Brings it up now; when that fails, again and again. Undefined: it is not up yet, or not wanted. Never rejects. */
  attempt(): Promise<T | undefined>;
  /** It went away by itself: it is brought up again after the returned number of milliseconds. */
  afterExit(): number;
  /** What was to come is not brought up any more. */
  cancel(): void;
  /** Something else is to run now: what went wrong before does not slow it down. */
  renew(): void;
}

/** Options of {@link createComeback}. */
export interface ComebackOptions<T> {
  /** What is brought up later is so in turn with other changes. */
  readonly inTurn: InTurn;
  /** Brings it up. Undefined: there is nothing to bring up, or it is up. */
  readonly bringUp: () => Promise<T | undefined>;
  readonly isUnwanted: () => boolean;
  /** It did not come up, and is tried again after so many milliseconds. */
  readonly failed: (error: unknown, againInMs: number) => void;
  /** It is back, and nobody waits for it. */
  readonly back: (up: T) => void;
}

/** Makes what brings one thing back, at a {@link createRestartPace | pace} of its own. */
export function createComeback<T>(options: ComebackOptions<T>): Comeback<T> {
  const { inTurn, bringUp, isUnwanted, failed, back } = options;
  const newPace = () => createRestartPace(() => performance.now());
  let pace = newPace();
  let timer: NodeJS.Timeout | undefined;
  const later = (delayMs: number) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      void inTurn(async () => {
        const up = await attempt();
        if (up !== undefined) back(up);
      });
    }, delayMs);
  };
  const attempt = async (): Promise<T | undefined> => {
    if (isUnwanted()) return undefined;
    try {
      return await bringUp();
    } catch (error) {
      if (isUnwanted()) return undefined;
      const delayMs = pace.afterFailure();
      failed(error, delayMs);
      later(delayMs);
      return undefined;
    }
  };
  return {
    attempt,
    afterExit() {
      const delayMs = pace.afterExit();
      later(delayMs);
      return delayMs;
    },
    cancel: () => clearTimeout(timer),
    renew() {
      pace = newPace();
    },
  };
}
