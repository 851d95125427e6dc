import { constants, Http2ServerRequest, type ServerHttp2Stream } from "node:http2";
import type { Connection } from "./connection.ts";
import { hasArrived, holdAnswer } from "./held-answer.ts";
import type { ListenerLimits } from "./limits.ts";
import { readPieces } from "./read-pieces.ts";

const abandoned = new WeakSet<ServerHttp2Stream>();

/** An HTTP/2 request whose readers are told when the rest of its body is thrown away. */
export class Http2Request extends Http2ServerRequest {
  override [Symbol.asyncIterator](): NodeJS.AsyncIterator<Buffer> {
    return readPieces(this, () => abandoned.has(this.stream));
  }
}

/**
 * Looks after a stream whose body is still coming in: one that does not go on is closed, and an answer that is ready
 * early is held for a moment. `discarding` is called when nobody will read the body.
 */
export function watchBody(
  connection: Connection,
  stream: ServerHttp2Stream,
  announced: string | undefined,
  limits: ListenerLimits,
  discarding: () => void,
): void {
  closeWhenStalled(connection, stream, limits.bodyStallTimeoutMs);
  const length = Number(announced);
  if (length > 0 && length <= limits.heldAnswerMaxBytes) holdAnswer(stream, limits.heldAnswerMs, discarding);
}

/**
 * Lets go of what is left of a body once its request is answered. A stream whose body stays unread would never close,
 * and neither would its connection.
 */
export function dropLeftover(stream: ServerHttp2Stream, timeoutMs: number): void {
  stream.once("finish", () => {
    if (!stream.readableEnded) setImmediate(closeAnswered, stream, timeoutMs);
  });
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
  abandoned.add(stream);
  if (!hasArrived(stream)) stream.close(constants.NGHTTP2_NO_ERROR);
  stream.destroy();
}
