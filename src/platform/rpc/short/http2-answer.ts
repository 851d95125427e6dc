import type { OutgoingHttpHeaders } from "node:http";

/** Fields without `connection`: Node's own response object for HTTP/2 drops it silently, its streams throw. */
export function sendable(fields: OutgoingHttpHeaders): OutgoingHttpHeaders {
  if (fields.connection === undefined) return fields;
  const { connection: _, ...rest } = fields;
  return rest;
}
