import { STATUS_CODES } from "node:http";

/** A short answer of HTTP/1.1 in plain text, after which the connection closes. */
export function plainAnswer(status: number, text: string): string {
  const body = `${text}\n`;
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    "Connection: close",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
}

/** A GOAWAY of HTTP/2 with a reason that clients show, after the settings that must come first (RFC 9113 §6.8). */
export function http2Goodbye(text: string): Buffer {
  const debugData = Buffer.from(text);
  const goaway = Buffer.alloc(8);
  goaway.writeUInt32BE(protocolError, 4);
  return Buffer.concat([frame(settingsFrame, Buffer.alloc(0)), frame(goawayFrame, Buffer.concat([goaway, debugData]))]);
}

const settingsFrame = 0x4;
const goawayFrame = 0x7;
const protocolError = 0x1;

function frame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  return Buffer.concat([head, payload]);
}
