import type { OutgoingHttpHeaders, ServerHttp2Stream, ServerStreamResponseOptions } from "node:http2";
import type { ListenerLimits } from "./limits.ts";

/** The other end has sent its last frame of the stream, or the stream is closed. */
export function hasArrived(stream: ServerHttp2Stream): boolean {
  // A reader learns of the end a moment before nghttp2 does, and may answer in that moment.
  return stream.readableEnded || stream.closed || stream.destroyed || stream.state.remoteClose === 1;
}

const recheckMs = 5;

/**
 * Holds an answer that is ready before the body of announced length is there, until it is or `heldAnswerMs` have passed.
 * connect-go stops sending as soon as an answer starts, short of the length that it announced: to nghttp2 that is a
 * protocol error, and the reset for it overtakes the trailers. `discarding` is called when the body is thrown away meanwhile.
 */
export function holdAnswer(
  stream: ServerHttp2Stream,
  announced: string | undefined,
  { heldAnswerMs, heldAnswerMaxBytes }: ListenerLimits,
  discarding: () => void,
): void {
  const length = Number(announced);
  if (!(length > 0 && length <= heldAnswerMaxBytes) || hasArrived(stream)) return;
  stream.respond = (headers, options) => {
    Reflect.deleteProperty(stream, "respond");
    if (hasArrived(stream)) stream.respond(headers, options);
    else hold(stream, headers, options, heldAnswerMs, discarding);
  };
}

/** Something that the stream was asked to do, of which it waits for the end before it asks for more. */
interface Step {
  run(): void;
  done(error?: Error | null): void;
}

function hold(
  stream: ServerHttp2Stream,
  headers: OutgoingHttpHeaders | readonly string[] | undefined,
  options: ServerStreamResponseOptions | undefined,
  timeoutMs: number,
  discarding: () => void,
) {
  let step: Step | undefined;
  // A Writable takes one step at a time, so holding the first holds everything, with backpressure as ever.
  stream._write = (piece, encoding, done) => {
    step = { run: () => stream._write(piece, encoding, done), done };
  };
  stream._writev = (pieces, done) => {
    step = { run: () => stream._writev?.(pieces, done), done };
  };
  stream._final = (done) => {
    step = { run: () => stream._final(done), done };
  };
  Object.defineProperty(stream, "headersSent", { configurable: true, value: true });

  if (hasNoReader(stream)) {
    discarding();
    stream.resume();
  }
  const deadlineMs = performance.now() + timeoutMs;
  const timer = setInterval(() => {
    if (hasArrived(stream) || performance.now() >= deadlineMs) release();
  }, recheckMs);
  stream.once("close", release);

  function release() {
    clearInterval(timer);
    stream.off("close", release);
    for (const held of ["_write", "_writev", "_final", "headersSent"]) Reflect.deleteProperty(stream, held);
    if (stream.destroyed || stream.closed) {
      step?.done(new Error("the stream was closed before it was answered"));
      return;
    }
    stream.respond(headers, options);
    step?.run();
  }
}

function hasNoReader(stream: ServerHttp2Stream): boolean {
  return stream.readableFlowing === null && stream.listenerCount("readable") === 0;
}
