import { constants, Http2ServerRequest, type ServerHttp2Stream } from "node:http2";
import type { Connection } from "./connection.ts";
import { hasArrived } from "./held-answer.ts";
import type { ListenerLimits } from "./limits.ts";

const cutShort = new WeakSet<ServerHttp2Stream>();

/** An HTTP/2 request that has no end when its stream has none. */
export class Http2Request extends Http2ServerRequest {
  constructor(...[stream, headers, options, rawHeaders]: ConstructorParameters<typeof Http2ServerRequest>) {
    // It says `close` when its stream does. Being destroyed shall not say it once more.
    super(stream, headers, { ...options, emitClose: false }, rawHeaders);
  }

  override push(piece: unknown, encoding?: BufferEncoding): boolean {
    if (piece !== null || !cutShort.has(this.stream)) return super.push(piece, encoding);
    // Not merely without an end: Node insists that nobody reads it once its stream is closed.
    this.destroy();
    return false;
  }
}

/**
 * Half a body is never taken for a whole one: when the stream is reset, or its connection lost, its readers see it close
 * without an end. Node would show them an end as any other.
 */
export function guardEnd(stream: ServerHttp2Stream): void {
  if (!hasArrived(stream)) stream.once("aborted", abort);
}

function abort(this: ServerHttp2Stream) {
  withholdEnd(this);
  // Node may wait for the end that it does not get.
  setImmediate(() => this.destroy());
}

function withholdEnd(stream: ServerHttp2Stream) {
  cutShort.add(stream);
  stream.push = () => false;
}

/** Looks after a stream that has a body. */
export type BodyWatch = (connection: Connection, stream: ServerHttp2Stream) => void;

/**
 * Makes what looks after streams with a body: one that does not go on is closed, and when its request is answered, what is
 * left of the body is let go. Most bodies come together with their head, and are read by the end of the same turn: only
 * those that are not cost a timer.
 */
export function createBodyWatch(limits: ListenerLimits): BodyWatch {
  let fresh: Parameters<BodyWatch>[] = [];
  function look() {
    const streams = fresh;
    fresh = [];
    for (const [connection, stream] of streams) {
      if (stream.readableEnded || stream.destroyed) continue;
      if (!hasArrived(stream)) closeWhenStalled(connection, stream, limits.bodyStallTimeoutMs);
      dropLeftover(stream, limits.leftoverTimeoutMs);
    }
  }
  return (connection, stream) => {
    if (fresh.length === 0) setImmediate(look);
    fresh.push([connection, stream]);
  };
}

// A stream whose body stays unread would never close, and neither would its connection.
function dropLeftover(stream: ServerHttp2Stream, timeoutMs: number) {
  const answered = () => {
    if (!stream.readableEnded) setImmediate(closeAnswered, stream, timeoutMs);
  };
  if (stream.writableFinished) answered();
  else stream.once("finish", answered);
}

function closeWhenStalled(connection: Connection, stream: ServerHttp2Stream, timeoutMs: number) {
  stream.setTimeout(timeoutMs, () => {
    if (hasArrived(stream)) return;
    // A call that is being answered may listen for as long as it likes, and what was not read yet is the server's delay.
    const patient = connection.trusted && (stream.headersSent || stream.readableLength > 0);
    if (patient) closeWhenStalled(connection, stream, timeoutMs);
    else stream.close(constants.NGHTTP2_CANCEL);
  });
}

const recheckMs = 20;

// RFC 9113 §8.1: a server that has answered completely may ask, with NO_ERROR, for the rest of the request not to be sent.
// A reset that overtakes the last frame of the answer would discard it, so it waits until that has left.
function closeAnswered(stream: ServerHttp2Stream, patienceMs: number) {
  if (stream.destroyed || stream.readableEnded) return;
  if (!stream.closed && stream.state.localClose !== 1 && patienceMs > 0) {
    setTimeout(closeAnswered, recheckMs, stream, patienceMs - recheckMs);
    return;
  }
  withholdEnd(stream);
  if (!hasArrived(stream)) stream.close(constants.NGHTTP2_NO_ERROR);
  stream.destroy();
}
