// Frames of HTTP/2 (RFC 9113 §4), for clients that do what no library would.

/** A frame of HTTP/2. */
export function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** What an HTTP/2 client sends first: the preface and empty settings. */
export const http2Hello = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);

/** A HEADERS frame of `POST / http` without an end of its stream. */
export function postHead(stream: number): Buffer {
  // Indexed fields of the static table: :method POST, :path /, :scheme http; then a literal :authority.
  const authority = Buffer.concat([Buffer.from([0x01, 1]), Buffer.from("x")]);
  return frame(1, 0x4, stream, Buffer.concat([Buffer.from([0x83, 0x84, 0x86]), authority]));
}
