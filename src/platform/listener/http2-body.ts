import { constants, type ServerHttp2Stream } from "node:http2";
import type { Connection } from "./connection.ts";
import { hasArrived, holdAnswer } from "./held-answer.ts";
import type { ListenerLimits } from "./limits.ts";

/**
 * Looks after a stream whose body is still coming in: one that does not go on is closed, an answer that is ready early
 * is held for a moment, and when the answer is complete the rest of the body is refused.
 */
export function watchBody(
  connection: Connection,
  stream: ServerHttp2Stream,
  announced: string | undefined,
  limits: ListenerLimits,
  answered: () => void,
): void {
  closeWhenStalled(connection, stream, limits.bodyStallTimeoutMs);
  stream.once("finish", () => setImmediate(refuseLeftover, stream, limits.leftoverTimeoutMs));
  const length = Number(announced);
  if (length > 0 && length <= limits.heldAnswerMaxBytes) holdAnswer(stream, limits.heldAnswerMs, answered);
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
function refuseLeftover(stream: ServerHttp2Stream, patienceMs: number) {
  if (hasArrived(stream)) return;
  if (stream.state.localClose === 1 || patienceMs <= 0) stream.close(constants.NGHTTP2_NO_ERROR);
  else setTimeout(refuseLeftover, recheckMs, stream, patienceMs - recheckMs);
}
