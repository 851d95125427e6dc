import type { Connection } from "./connection.ts";
import type { ListenerLimits } from "./limits.ts";

/** The reason of a connection that nothing has happened on: nothing is wrong with it. */
export const idle = "idle";

/** Why a connection must be closed now; undefined when it may stay. */
export function overdue(connection: Connection, nowMs: number, limits: ListenerLimits): string | undefined {
  if (!connection.headSeen) {
    return nowMs - connection.acceptedAtMs > limits.firstHeadTimeoutMs
      ? "no complete request head came in time"
      : undefined;
  }
  const idleMs = nowMs - connection.activeAtMs;
  if (connection.trusted) {
    if (connection.session?.closed === false && idleMs > limits.http2IdleTimeoutMs) return idle;
  } else {
    const [oldest] = connection.unanswered.values();
    if (oldest === undefined) return idleMs > limits.untrustedIdleTimeoutMs ? idle : undefined;
    if (nowMs - oldest.sinceMs > limits.untrustedRequestTimeoutMs) return "the request took too long";
  }
  return hasStalled(connection) && idleMs > limits.bodyStallTimeoutMs ? "the request body does not go on" : undefined;
}

/** The rest of an HTTP/1.1 body is missing, and it is the other end that we wait for. HTTP/2 times each stream by itself. */
function hasStalled({ request, response, trusted }: Connection): boolean {
  if (request === undefined || request.complete || request.destroyed) return false;
  return !trusted || (request.readableLength === 0 && response?.headersSent === false);
}
