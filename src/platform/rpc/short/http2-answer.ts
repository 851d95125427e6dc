import type { OutgoingHttpHeaders } from "node:http";
import { sensitiveHeaders } from "node:http2";

/** Fields as a stream of HTTP/2 takes them fastest: names and values in turn. */
export function answerHeader(fields: OutgoingHttpHeaders): readonly string[] {
  const header: string[] = [];
  for (const name in fields) {
    const value = fields[name];
    // Node's own response object for HTTP/2 drops it silently, its streams throw.
    if (value === undefined || name === "connection") continue;
    if (Array.isArray(value)) for (const each of value) header.push(name, each);
    else header.push(name, String(value));
  }
  // An index of what differs with every call would only push out what repeats, at both ends.
  return Object.assign(header, { [sensitiveHeaders]: unindexed });
}

/** Fields as a stream of HTTP/2 takes them for a trailer. */
export function answerTrailer(fields: OutgoingHttpHeaders): OutgoingHttpHeaders {
  if (fields.connection === undefined) return fields;
  const { connection: _, ...rest } = fields;
  return rest;
}

const unindexed = ["x-request-id"];
