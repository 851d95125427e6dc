import { Code } from "@connectrpc/connect";
import { pause } from "../../../platform/pause.ts";
import type { Logger } from "../../../platform/telemetry/log.ts";
import { createBackoff, spread } from "../contact/backoff.ts";
import type { Contact } from "../contact/contact.ts";
import { CoreRefused } from "../contact/core-client.ts";
import type { Announced } from "./config-sync.ts";

/** Options of {@link watchConfigs}. */
export interface WatchOptions {
  readonly contact: Pick<Contact, "call">;
  /** What the node runs. */
  readonly current: () => Announced | undefined;
  /** Core has told of a config. Returns at once. */
  readonly announced: (config: Announced) => void;
  /** Milliseconds within which the first try comes when the stream was lost. */
  readonly reconnectMs: () => number;
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** After so long without an event the stream is dead. Default: 75 s. */
  readonly silentMs?: number;
}

/** A Core that does not know the call is asked again so seldom. */
const unsupportedMs = 600_000;
/** Listens for newer configs, on one stream after another, until the signal aborts. Never rejects. */
export async function watchConfigs(options: WatchOptions): Promise<void> {
  const { signal, log, reconnectMs } = options;
  const backoff = createBackoff({ firstMs: reconnectMs });
  while (!signal.aborted) {
    // Streams end every half an hour; those of a fleet do not come back at once.
    let waitMs = spread(reconnectMs());
    try {
      await listen(options, backoff.reset);
    } catch (error) {
      if (signal.aborted) return;
      const isUnsupported = error instanceof CoreRefused && error.error.code === Code.Unimplemented;
      waitMs = isUnsupported ? unsupportedMs : backoff.after(error);
      log.debug({ waitMs, reason: error instanceof Error ? error.message : error }, "no stream of configs");
    }
    await pause(waitMs, signal);
  }
}

async function listen(options: WatchOptions, heard: () => void): Promise<void> {
  const { contact, current, announced, signal, silentMs = 75_000 } = options;
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), silentMs).unref();
  try {
    await contact.call(
      async (core, call) => {
        const { revision, digest } = current() ?? {};
        const running = revision === undefined ? {} : { revision: BigInt(revision), digest: digest ?? "" };
        for await (const { event } of core.watchConfig({ ...running, deltas: true }, call)) {
          timer.refresh();
          heard();
          if (event.case !== "announcement" && event.case !== "delta") continue;
          announced({
            ...{ revision: Number(event.value.revision), digest: event.value.digest },
            ...(event.case === "delta" && { delta: event.value }),
          });
        }
      },
      { timeoutMs: 0, signal: AbortSignal.any([signal, silence.signal]) },
    );
  } finally {
    clearTimeout(timer);
  }
}
