import { AuthorityMismatch } from "../../../platform/identity/pinned-tls.ts";
import { remainingMs } from "../../../platform/remaining.ts";
import type { Logger } from "../../../platform/telemetry/log.ts";
import { CoreAway, type CoreClient, CoreRefused, isAboutKey } from "./core-client.ts";

/** How things stand between the node and Core. */
export type ContactState = "none" | "reached" | "away" | "refused" | "not core";

/** Calls to Core, and how they end. */
export interface Contact extends CoreClient {
  /** `none` before the first call has ended; `refused` while Core does not accept the key. */
  readonly state: ContactState;
  /** When Core has answered last, in milliseconds since 1970. Undefined: not since the agent started. */
  readonly lastAnswerAt: number | undefined;
}

/** Options of {@link createContact}. */
export interface ContactOptions {
  readonly client: CoreClient;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: Logger;
  /** Aborts all calls. How they end then says nothing of Core. Default: nothing does. */
  readonly signal?: AbortSignal;
  /** How long Core is left alone when it does not accept the key. Default: 5 minutes. */
  readonly refusedMs?: number;
}

/**
 * Keeps an eye on calls to Core, and tells the operator when their luck changes. While Core does not accept the node's
 * key it is not called: calls throw {@link CoreAway} until it is time to try again.
 */
export function createContact({ client, now, log, signal, refusedMs = 300_000 }: ContactOptions): Contact {
  let state: ContactState = "none";
  let lastAnswerAt: number | undefined;
  let refusedUntil = 0;
  const become = (next: ContactState, tell: () => void) => {
    const isNews = next !== state;
    state = next;
    if (isNews) tell();
  };
  const note = (error: unknown) => {
    if (error instanceof AuthorityMismatch) {
      become("not core", () =>
        log.error(
          `whoever answers is not Core: ${error.message}. The engines serve on, and nothing is sent. If Core was made ` +
            "anew: end this node, remove its directory `agent`, and start it with a code of the new Core in " +
            "CORE_ENROLMENT_CODE",
        ),
      );
    } else if (error instanceof CoreRefused && isAboutKey(error)) {
      refusedUntil = now() + refusedMs;
      become("refused", () =>
        log.error(
          { code: error.code },
          `Core does not accept this node's key: ${error.message}. The engines serve on, what is counted is kept, and ` +
            `it is tried again every ${Math.round(refusedMs / 1_000)} s. A code that Core makes for this node lets it in ` +
            "again: start it with that in CORE_ENROLMENT_CODE",
        ),
      );
    } else if (error instanceof CoreRefused) {
      lastAnswerAt = now();
    } else if (error instanceof CoreAway) {
      become("away", () => log.warn(`${error.message}. The engines serve on, and what is counted is kept`));
    }
  };
  return {
    get state() {
      return state;
    },
    get lastAnswerAt() {
      return lastAnswerAt;
    },
    async call(make, bounds) {
      const leftMs = remainingMs(refusedUntil, now(), refusedMs);
      if (leftMs > 0) throw new CoreAway("Core does not accept this node's key", leftMs, undefined);
      try {
        const answer = await client.call(make, bounds);
        lastAnswerAt = now();
        become("reached", () => log.info("Core answers"));
        return answer;
      } catch (error) {
        if (!signal?.aborted) note(error);
        throw error;
      }
    },
  };
}
