import type { OutgoingHttpHeaders } from "node:http";

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
