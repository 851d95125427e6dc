import type { Writable } from "node:stream";
import type { Message } from "@bufbuild/protobuf";
import type { Framer } from "./event-stream.ts";

/** A streamed response that is to be sent. */
export interface StreamAnswer {
  readonly messages: AsyncIterable<Message>;
  readonly framer: Framer;
  /** Aborted when the client leaves or the server goes down. */
  readonly signal: AbortSignal;
  /** Writes the head. Called once, when the first message is there or `headAfterMs` have passed. */
  begin(): Writable;
  /** Words an error that comes after the head. */
  writeError(cause: unknown): string;
  readonly headAfterMs: number;
  readonly keepAliveMs: number;
}

/**
 * Sends a streamed response as it comes, no faster than the client reads. Rejects with an error that comes before the
 * head has left, so that it can still be answered with a status; later ones are told in the stream.
 */
export async function answerStream(answer: StreamAnswer): Promise<void> {
  const { framer, signal } = answer;
  const source = answer.messages[Symbol.asyncIterator]();
  const abortable = createAbortable(signal);
  try {
    const first = source.next();
    const early = await abortable.race(Promise.race([first, abortable.after(answer.headAfterMs)]));
    if (early === aborted) throw signal.reason;
    const response = answer.begin();
    const silence = keepAlive(response, framer, answer.keepAliveMs);
    try {
      await pump(first, source, framer, response, abortable, silence);
      response.end();
    } catch (cause) {
      if (framer.error === undefined) response.destroy();
      else response.end(framer.error(answer.writeError(cause)));
    } finally {
      silence.close();
    }
  } finally {
    abortable.close();
    // A handler that is stuck never settles its return: it is not waited for.
    source.return?.().catch(() => undefined);
  }
}

async function pump(
  first: Promise<IteratorResult<Message>>,
  source: AsyncIterator<Message>,
  framer: Framer,
  response: Writable,
  abortable: Abortable,
  silence: Silence,
): Promise<void> {
  for (let next = first; ; next = source.next()) {
    const result = await abortable.race(next);
    if (result === aborted || result.done === true) return;
    silence.end();
    if (response.write(framer.frame(result.value))) continue;
    const drained = new Promise<void>((resolve) => response.once("drain", resolve));
    if ((await abortable.race(drained)) === aborted) return;
  }
}

const aborted = Symbol("aborted");

/** Waits that a signal ends. `Promise.race` with one promise for the abort would collect a reaction per message. */
interface Abortable {
  /** What the promise becomes, or {@link aborted}. One at a time. */
  race<T>(work: Promise<T>): Promise<T | typeof aborted>;
  after(ms: number): Promise<void>;
  close(): void;
}

function createAbortable(signal: AbortSignal): Abortable {
  let wake: () => void = () => undefined;
  const onAbort = () => wake();
  signal.addEventListener("abort", onAbort);
  let timer: NodeJS.Timeout | undefined;
  return {
    race: (work) =>
      new Promise((resolve, reject) => {
        wake = () => resolve(aborted);
        if (signal.aborted) wake();
        work.then(resolve, reject);
      }),
    after: (ms) =>
      new Promise((resolve) => {
        timer = setTimeout(resolve, ms);
      }),
    close() {
      signal.removeEventListener("abort", onAbort);
      clearTimeout(timer);
    },
  };
}

/** The time in which nothing is sent. */
interface Silence {
  end(): void;
  close(): void;
}

function keepAlive(response: Writable, { keepAlive: comment }: Framer, everyMs: number): Silence {
  if (comment === undefined) return { end: () => undefined, close: () => undefined };
  const timer = setInterval(() => {
    // A client that does not read is not kept alive by more to read.
    if (!response.writableNeedDrain) response.write(comment);
  }, everyMs);
  return { end: () => timer.refresh(), close: () => clearInterval(timer) };
}
