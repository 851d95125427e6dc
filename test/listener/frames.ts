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

/** A HEADERS frame with these fields, each a literal that no table remembers (RFC 7541 §6.2.2), up to 126 bytes long. */
export function head(stream: number, fields: Readonly<Record<string, string>>, isEnd: boolean): Buffer {
  const block = Object.entries(fields).flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]);
  return frame(1, isEnd ? 0x5 : 0x4, stream, Buffer.concat(block));
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
}

/** A RST_STREAM frame: the client cancels. */
export function cancel(stream: number): Buffer {
  return frame(3, 0, stream, Buffer.from([0, 0, 0, 8]));
}

/** The acknowledgement of a PING. */
export function pong(data: Buffer): Buffer {
  return frame(6, 0x1, 0, data);
}

/** A frame that was received. */
export interface ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The whole frames in what was received. */
export function framesOf(received: Buffer): ReceivedFrame[] {
  const frames: ReceivedFrame[] = [];
  for (let at = 0; at + 9 <= received.length; ) {
    const end = at + 9 + received.readUIntBE(at, 3);
    if (end > received.length) break;
    const [type = 0, flags = 0] = received.subarray(at + 3);
    frames.push({ type, flags, stream: received.readUInt32BE(at + 5), payload: received.subarray(at + 9, end) });
    at = end;
  }
  return frames;
}
