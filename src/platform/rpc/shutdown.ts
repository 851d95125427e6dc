import { Code } from "@connectrpc/connect";
import { PublicError } from "./public-error.ts";

/** Ends calls when the server goes down. */
export interface ShutdownSignals {
  /** Aborts streams: they have no end of their own. */
  readonly streams: AbortSignal;
  /** Aborts unary calls, once they had their time to finish. */
  readonly calls: AbortSignal;
}

/** The going down of a server. */
export interface Shutdown extends ShutdownSignals {
  /** Ends streams now, and unary calls after `graceMs`. */
  begin(graceMs: number): void;
  /** Everything has ended: nothing is left to abort. */
  over(): void;
}

/** Makes the signals of a server that serves. */
export function createShutdown(): Shutdown {
  const streams = new AbortController();
  const calls = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const reason = () => new PublicError("the server is shutting down: call again in a moment", Code.Unavailable);
  return {
    streams: streams.signal,
    calls: calls.signal,
    begin(graceMs) {
      streams.abort(reason());
      timer = setTimeout(() => calls.abort(reason()), graceMs);
    },
    over: () => clearTimeout(timer),
  };
}
