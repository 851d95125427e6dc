import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A TCP server that answers an upload of announced length with an announced number of bytes made from it. */
export interface ByteTarget {
  readonly port: number;
  close(): Promise<void>;
}

const headBytes = 8;

/** Starts a target on 127.0.0.1. */
export async function startByteTarget(): Promise<ByteTarget> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
    answerUpload(socket).catch(() => socket.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/**
 * Sends `up` bytes to a target through the SOCKS5 proxy on `proxyPort`, and takes `down` bytes from it. Throws when the
 * proxy refuses, the connection ends or stands still, or the bytes are not those that the target must have sent.
 */
export async function exchange(proxyPort: number, target: ByteTarget, up: number, down: number): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port: proxyPort });
  socket.setTimeout(5_000, () => socket.destroy(new Error("nothing came for 5 s")));
  try {
    const reader = readerOf(socket);
    socket.write(Uint8Array.of(5, 1, 0));
    expectBytes(await reader.take(2), Uint8Array.of(5, 0));
    const port = Buffer.alloc(2);
    port.writeUInt16BE(target.port);
    socket.write(Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, ...port));
    expectBytes((await reader.take(10)).subarray(0, 2), Uint8Array.of(5, 0));
    const upload = Buffer.alloc(up);
    crypto.getRandomValues(upload.subarray(0, Math.min(up, 65_536)));
    upload.writeUInt32BE(up, 0);
    upload.writeUInt32BE(down, 4);
    socket.write(upload);
    expectBytes(await reader.take(down), replyTo(upload, down));
    socket.end();
  } finally {
    socket.destroy();
  }
}

async function answerUpload(socket: Socket): Promise<void> {
  const reader = readerOf(socket);
  const head = await reader.take(headBytes);
  const rest = await reader.take(head.readUInt32BE(0) - headBytes);
  socket.end(replyTo(Buffer.concat([head, rest]), head.readUInt32BE(4)));
}

function replyTo(upload: Buffer, bytes: number): Buffer {
  return Buffer.alloc(bytes, upload);
}

function readerOf(socket: Socket): { take(bytes: number): Promise<Buffer> } {
  const chunks = socket.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]();
  let held = Buffer.alloc(0);
  return {
    async take(bytes) {
      const parts = [held];
      let length = held.length;
      while (length < bytes) {
        const { value, done } = await chunks.next();
        if (done === true) throw new Error(`the connection ended after ${length} of ${bytes} bytes`);
        parts.push(value);
        length += value.length;
      }
      const all = Buffer.concat(parts);
      held = all.subarray(bytes);
      return all.subarray(0, bytes);
    },
  };
}

function expectBytes(actual: Uint8Array, expected: Uint8Array): void {
  if (!Buffer.from(actual).equals(expected)) throw new Error("the bytes that came back are not those that were sent");
}
