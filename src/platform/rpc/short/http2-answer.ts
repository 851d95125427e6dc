import type { OutgoingHttpHeaders } from "node:http";
import type { ServerHttp2Stream } from "node:http2";

// Node's own response object for HTTP/2 drops them silently, its streams throw.
const forbidden = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "upgrade",
]);

/** Fields without those that HTTP/2 does not know. */
export function sendable(fields: OutgoingHttpHeaders): OutgoingHttpHeaders {
  for (const name in fields) {
    if (forbidden.has(name)) return Object.fromEntries(Object.entries(fields).filter(([key]) => !forbidden.has(key)));
  }
  return fields;
}

/**
 * Call when the whole answer was handed over: a client that still sends is told to stop, without an error. Later than
 * in the same turn, since a reset overtakes what nghttp2 has not yet taken.
 */
export function leaveRequest(stream: ServerHttp2Stream): void {
  if (stream.readableEnded) return;
  setImmediate(() => {
    if (stream.readableEnded) return;
    stream.resume();
    stream.close();
  });
}
