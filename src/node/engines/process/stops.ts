import type { InTurn } from "../../../platform/in-turn.ts";

/** Stops that need not wait for what they make vain. */
export interface Stops {
  /** Aborted by a stop, or an end, from when it is asked for; there is a new one when the last stop is done. */
  readonly unwanted: AbortSignal;
  /** Has `work` stop in turn, when what is under way has given up. */
  stop(work: () => Promise<void>): Promise<void>;
  /** Nothing is wanted any more, for good. */
  end(reason?: unknown): void;
}

/** Makes the stops of what is changed in turn. */
export function createStops(inTurn: InTurn): Stops {
  let unwanted = new AbortController();
  let waiting = 0;
  return {
    get unwanted() {
      return unwanted.signal;
    },
    stop(work) {
      unwanted.abort();
      waiting += 1;
      return inTurn(async () => {
        waiting -= 1;
        try {
          await work();
        } finally {
          if (waiting === 0) unwanted = new AbortController();
        }
      });
    },
    end: (reason) => unwanted.abort(reason),
  };
}
