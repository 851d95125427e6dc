import { connect } from "node:net";

/** A body as its DATA frames, made once for all uploads. */
export interface PreparedBody {
  /** The frames in a row, on stream 1. */
  readonly frames: Buffer;
  /** Where each frame ends. */
  readonly ends: readonly number[];
}

const headBytes = 9;
const type = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8 };
const endStream = 1;
const ack = 1;
const endHeaders = 4;
const initialWindow = 65_535;
const settingInitialWindow = 4;
const stream = 1;

/** Prepares a body of which each piece travels in a DATA frame of its own. */
export function prepareBody(pieces: readonly Uint8Array[]): PreparedBody {
  const frames = pieces.map((piece, index) =>
    frame(type.data, index === pieces.length - 1 ? endStream : 0, stream, piece),
  );
  const ends: number[] = [];
  for (const { length } of frames) ends.push((ends.at(-1) ?? 0) + length);
  return { frames: Buffer.concat(frames), ends };
}

/**
 * Uploads a body to a plain HTTP/2 server, over a connection of its own, one message per DATA frame: so do grpc-go and
 * grpclib. h2load would fill its frames with many. Rejects when the answer has no body, which is how gRPC fails.
 */
export async function upload(
  port: number,
  path: string,
  fields: Readonly<Record<string, string>>,
  body: PreparedBody,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  let windows = { connection: initialWindow, stream: initialWindow };
  let peerInitial = initialWindow;
  let sent = 0;
  let answered = false;
  let unread = Buffer.alloc(0);

  function pump(): void {
    const begin = endOf(sent);
    while (sent < body.ends.length) {
      const size = endOf(sent + 1) - endOf(sent) - headBytes;
      if (size > Math.min(windows.connection, windows.stream)) break;
      windows = { connection: windows.connection - size, stream: windows.stream - size };
      sent += 1;
    }
    if (endOf(sent) > begin) socket.write(body.frames.subarray(begin, endOf(sent)));
  }

  function endOf(count: number): number {
    return body.ends[count - 1] ?? 0;
  }

  function received(kind: number, flags: number, id: number, payload: Buffer): void {
    if (kind === type.settings && (flags & ack) === 0) {
      for (let at = 0; at < payload.length; at += 6) {
        if (payload.readUInt16BE(at) !== settingInitialWindow) continue;
        windows.stream += payload.readUInt32BE(at + 2) - peerInitial;
        peerInitial = payload.readUInt32BE(at + 2);
      }
      socket.write(frame(type.settings, ack, 0));
      pump();
    } else if (kind === type.windowUpdate) {
      windows[id === 0 ? "connection" : "stream"] += payload.readUInt32BE(0);
      pump();
    } else if (kind === type.ping && (flags & ack) === 0) {
      socket.write(frame(type.ping, ack, 0, payload));
    } else if (kind === type.data) {
      answered = true;
    } else if (kind === type.reset || kind === type.goaway) {
      reject(new Error(`upload refused: frame of type ${kind}`));
    } else if (kind === type.headers && (flags & endStream) !== 0) {
      if (answered) resolve();
      else reject(new Error("upload answered without a message"));
    }
  }

  socket.on("data", (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    while (unread.length >= headBytes && unread.length >= headBytes + unread.readUIntBE(0, 3)) {
      const end = headBytes + unread.readUIntBE(0, 3);
      received(unread.readUInt8(3), unread.readUInt8(4), unread.readUInt32BE(5), unread.subarray(headBytes, end));
      unread = unread.subarray(end);
    }
  });
  socket.on("error", reject);
  socket.on("close", () => reject(new Error("upload cut")));
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(frame(type.settings, 0, 0));
  const all = { ":method": "POST", ":scheme": "http", ":authority": `127.0.0.1:${port}`, ":path": path, ...fields };
  socket.write(frame(type.headers, endHeaders, stream, Buffer.concat(Object.entries(all).map(literal))));
  try {
    await promise;
  } finally {
    socket.destroy();
  }
}

function frame(kind: number, flags: number, id: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(kind, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

// A field that is not indexed, with a new name, in plain text (RFC 7541 §6.2.2). Lengths below 127 take one byte.
function literal([name, value]: [string, string]): Buffer {
  return Buffer.concat([Buffer.of(0), text(name), text(value)]);
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.of(value.length), Buffer.from(value)]);
}
