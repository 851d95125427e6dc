import type { Duplex } from "node:stream";

/** What the first bytes of a connection say. */
export type Speech = "tls" | "http2" | "http1";

// The client's side of HTTP/2 starts with `PRI * HTTP/2.0`. PROPFIND and PROPPATCH share two letters with it.
const preface = Buffer.from("PRI");
const tlsHandshakeRecord = 0x16;

/** Which protocol the bytes start; undefined when more are needed to tell. All that is neither TLS nor HTTP/2 is HTTP/1. */
function speechOf(bytes: Buffer): Speech | undefined {
  if (bytes.length === 0) return undefined;
  if (bytes[0] === tlsHandshakeRecord) return "tls";
  const length = Math.min(bytes.length, preface.length);
  if (bytes.compare(preface, 0, length, 0, length) !== 0) return "http1";
  return bytes.length < preface.length ? undefined : "http2";
}

/**
 * Tells what the other end speaks, once enough bytes have come. They are put back: the socket is as it was, paused, and
 * nothing listens on it any more. A socket that ends before is left alone.
 */
export function onFirstBytes(socket: Duplex, decide: (speech: Speech) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  socket.on("readable", function onReadable() {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const speech = speechOf(seen);
    if (speech === undefined) return;
    socket.off("readable", onReadable);
    socket.unshift(seen);
    decide(speech);
  });
}
