import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { frame, http2Hello, postHead } from "./frames.ts";

/** Opens a connection and sends all that it can, until it is closed. */
export type Flood = (port: number, secure: boolean) => Socket;

/** HTTP/1.1: what comes first, and what is then repeated. */
function http1(first: string, repeated: string): Flood {
  return (port, secure) => {
    const socket = dial(port, secure);
    socket.write(first);
    // In pieces of about 64 KiB.
    push(socket, Buffer.from(repeated.repeat(Math.ceil(65_536 / repeated.length))));
    return socket;
  };
}

/** HTTP/2: as many streams and bytes as the other end grants, in frames of one size. */
function http2(frameBytes: number, head = postHead): Flood {
  return (port, secure) => {
    const socket = dial(port, secure, ["h2"]);
    const streams = Array.from({ length: 256 }, (_, i) => 2 * i + 1);
    let credit = 65_535;
    let turn = 0;
    const sent = new Map<number, number>();
    const send = () => {
      if (socket.destroyed) return;
      const frames: Buffer[] = [];
      for (let bytes = 0; bytes < 65_536 && credit >= frameBytes; bytes += frameBytes + 9) {
        const stream = streams[turn++ % streams.length] ?? 1;
        const before = sent.get(stream) ?? 0;
        if (before + frameBytes > 256 * 1024) break;
        sent.set(stream, before + frameBytes);
        credit -= frameBytes;
        frames.push(frame(0, 0, stream, Buffer.alloc(frameBytes)));
      }
      if (frames.length > 0 && socket.write(Buffer.concat(frames))) setImmediate(send);
    };
    onWindowUpdates(socket, (bytes) => {
      credit += bytes;
      send();
    });
    socket.on("drain", send);
    socket.write(Buffer.concat([http2Hello, frame(4, 1, 0), ...streams.map(head)]));
    send();
    return socket;
  };
}

// A field of 4,000 bytes goes into the table once; then a byte stands for it.
function bombHead(stream: number): Buffer {
  const value = Buffer.alloc(3_900, "y");
  const length = value.length - 127;
  const literal = Buffer.concat([
    Buffer.from([0x40, 1]),
    Buffer.from("x"),
    Buffer.from([0x7f, 0x80 | (length & 0x7f), length >> 7]),
    value,
  ]);
  const fields = stream === 1 ? literal : Buffer.alloc(4, 0xbe);
  return frame(1, 0x4, stream, Buffer.concat([Buffer.from([0x83, 0x84, 0x86, 0x01, 1]), Buffer.from("x"), fields]));
}

/** Ways to push bytes at a server without having shown a credential. */
export const floods: Record<string, Flood> = {
  "HTTP/1.1, a large body": http1("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000\r\n\r\n", "x"),
  "HTTP/1.1, chunks of one byte": http1(
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    "1\r\nx\r\n",
  ),
  "HTTP/2, 256 streams of large frames": http2(16_000),
  "HTTP/2, 256 streams of frames of one byte": http2(1),
  "HTTP/2, 256 streams whose headers unfold": http2(16_000, bombHead),
};

function dial(port: number, secure: boolean, protocols?: string[]): Socket {
  const socket = secure
    ? connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ...(protocols && { ALPNProtocols: protocols }) })
    : connect({ port, host: "127.0.0.1" });
  socket.on("error", () => undefined);
  socket.resume();
  return socket;
}

function push(socket: Socket, bytes: Buffer): void {
  while (!socket.destroyed && socket.write(bytes));
  if (!socket.destroyed) socket.once("drain", () => push(socket, bytes));
}

function onWindowUpdates(socket: Socket, grow: (bytes: number) => void): void {
  let seen: Buffer = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk]);
    while (seen.length >= 9 && seen.length >= 9 + seen.readUIntBE(0, 3)) {
      const length = seen.readUIntBE(0, 3);
      if (seen[3] === 8 && seen.readUInt32BE(5) === 0) grow(seen.readUInt32BE(9));
      seen = seen.subarray(9 + length);
    }
  });
}
