import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/**
 * A TCP server that answers an upload of announced length with an announced number of bytes made from it. It answers
 * the announcement by itself: Xray's Trojan client fails when the first bytes of a connection fill its buffer.
 */
export interface ByteTarget {
  /** What it is asked for by, when something on the way leads there; default: 127.0.0.1. */
  readonly address?: string;
  readonly port: number;
  close(): Promise<void>;
}

const headBytes = 8;
// Servers that refuse a client may keep its connection open, so as not to be told apart from others.
const stillMs = 2_000;

/** Starts a target on an address of this machine. */
export async function startByteTarget(address = "127.0.0.1"): Promise<ByteTarget> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
    answerUpload(socket).catch(() => socket.destroy());
  }).listen(0, address);
  await once(server, "listening");
  return {
    address,
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/**
 * Sends `up` bytes to a target through the SOCKS5 proxy on `proxyPort`, and takes `down` bytes from it, at least 8 of
 * each. Throws when the proxy refuses, the connection ends or stands still, or the bytes are not those that the target
 * must have sent.
 */
export async function exchange(
  proxyPort: number,
  target: ByteTarget,
  up: number,
  down: number,
  firstBytes: FirstBytes = "with the request",
): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port: proxyPort });
  socket.setTimeout(stillMs, () => socket.destroy(new Error(`nothing came for ${stillMs} ms`)));
  try {
    const reader = readerOf(socket);
    const upload = Buffer.alloc(up);
    crypto.getRandomValues(upload.subarray(0, Math.min(up, 65_536)));
    upload.writeUInt32BE(up, 0);
    upload.writeUInt32BE(down, 4);
    const reply = replyTo(upload, down);
    await askProxy(socket, reader, target, upload.subarray(0, headBytes), firstBytes);
    expectBytes(await reader.take(headBytes), reply.subarray(0, headBytes));
    socket.write(upload.subarray(headBytes));
    expectBytes(await reader.take(down - headBytes), reply.subarray(headBytes));
    socket.end();
  } finally {
    socket.destroy();
  }
}

/**
 * Opens a connection to a target through the SOCKS5 proxy on `proxyPort`, and leaves it open once bytes have come back
 * through it. Returns what closes it. Throws like {@link exchange}.
 */
export async function holdOpen(proxyPort: number, target: ByteTarget): Promise<() => void> {
  const socket = connect({ host: "127.0.0.1", port: proxyPort });
  socket.setTimeout(stillMs, () => socket.destroy(new Error(`nothing came for ${stillMs} ms`)));
  try {
    const reader = readerOf(socket);
    const head = Buffer.alloc(headBytes);
    head.writeUInt32BE(headBytes + 1, 0); // the last byte never comes
    head.writeUInt32BE(headBytes, 4);
    await askProxy(socket, reader, target, head, "with the request");
    expectBytes(await reader.take(headBytes), head);
    socket.setTimeout(0);
    return () => void socket.destroy();
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

type Reader = ReturnType<typeof readerOf>;

/**
 * When a proxy is sent the first bytes for the target. Xray's VMess and Shadowsocks clients fail when these are more
 * than 100 ms behind, as they are on a machine that is busy; sing-box loses those that come before its reply.
 */
export type FirstBytes = "with the request" | "behind the reply";

async function askProxy(
  socket: Socket,
  reader: Reader,
  target: ByteTarget,
  first: Uint8Array,
  when: FirstBytes,
): Promise<void> {
  socket.write(Uint8Array.of(5, 1, 0));
  expectBytes(await reader.take(2), Uint8Array.of(5, 0));
  const port = Buffer.alloc(2);
  port.writeUInt16BE(target.port);
  const address = (target.address ?? "127.0.0.1").split(".").map(Number);
  socket.write(Uint8Array.of(5, 1, 0, 1, ...address, ...port, ...(when === "with the request" ? first : [])));
  expectBytes((await reader.take(10)).subarray(0, 2), Uint8Array.of(5, 0));
  if (when === "behind the reply") socket.write(first);
}

async function answerUpload(socket: Socket): Promise<void> {
  const reader = readerOf(socket);
  const head = await reader.take(headBytes);
  socket.write(head);
  const rest = await reader.take(head.readUInt32BE(0) - headBytes);
  const reply = replyTo(Buffer.concat([head, rest]), head.readUInt32BE(4));
  socket.end(reply.subarray(headBytes));
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
