import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { acceptObfuscated, type ObfuscatedStream, openingBytes, openObfuscated } from "./obfuscated-stream.ts";

/** What stands for a data centre of Telegram: it answers every request with as many bytes as it asks for. */
export interface DataCentre {
  /** `host:port`. */
  readonly address: string;
  close(): Promise<void>;
}

/** A request begins with how many bytes of it follow, and how many it wants. */
const headBytes = 8;

/** Starts a data centre on 127.0.0.1. */
export async function startDataCentre(): Promise<DataCentre> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    let stream: ObfuscatedStream | undefined;
    let received = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, stream === undefined ? chunk : stream.decrypt.update(chunk)]);
      if (stream === undefined) {
        if (received.length < openingBytes) return;
        stream = acceptObfuscated(received.subarray(0, openingBytes));
        if (stream === undefined) return void socket.destroy();
        received = stream.decrypt.update(received.subarray(openingBytes));
      }
      while (received.length >= headBytes && received.length >= headBytes + received.readUInt32LE(0)) {
        socket.write(stream.encrypt.update(Buffer.alloc(received.readUInt32LE(4), 0x2a)));
        received = received.subarray(headBytes + received.readUInt32LE(0));
      }
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    async close() {
      for (const socket of sockets) socket.destroy();
      await once(server.close(), "close");
    },
  };
}

/** A client of Telegram behind an MTProto proxy. */
export interface TelegramClient {
  /** Sends a request and waits for the answer. Rejects when the connection ends or nothing comes for a while. */
  exchange(upBytes: number, downBytes: number): Promise<void>;
  /** The connection has ended. */
  readonly isClosed: boolean;
  /** Bytes that a proxy counts so far, which are those that are sent and received by a client. */
  readonly uplinkBytes: bigint;
  readonly downlinkBytes: bigint;
  close(): Promise<void>;
}

/** Connects by a proxy on 127.0.0.1 with a secret of 32 hex digits. A proxy says nothing of those it does not let in. */
export async function connectTelegram(port: number, secret: string): Promise<TelegramClient> {
  const socket = connect({ host: "127.0.0.1", port });
  await once(socket, "connect");
  const { opening, encrypt, decrypt } = openObfuscated(2, secret);
  let closed = false;
  let up = BigInt(opening.length);
  let down = 0n;
  let heard = () => {};
  socket.on("error", () => undefined);
  socket.on("close", () => {
    closed = true;
    heard();
  });
  socket.on("data", (chunk: Buffer) => {
    down += BigInt(decrypt.update(chunk).length);
    heard();
  });
  socket.write(opening);
  return {
    async exchange(upBytes, downBytes) {
      const request = Buffer.alloc(headBytes + upBytes);
      request.writeUInt32LE(upBytes, 0);
      request.writeUInt32LE(downBytes, 4);
      const wanted = down + BigInt(downBytes);
      socket.write(encrypt.update(request));
      up += BigInt(request.length);
      const signal = AbortSignal.timeout(patienceMs);
      while (down < wanted) {
        if (closed) throw new Error("the proxy has closed the connection");
        if (signal.aborted) throw new Error("the proxy says nothing");
        await new Promise<void>((resolve) => {
          heard = resolve;
          signal.addEventListener("abort", () => resolve(), { once: true });
        });
      }
    },
    get isClosed() {
      return closed;
    },
    get uplinkBytes() {
      return up;
    },
    get downlinkBytes() {
      return down;
    },
    async close() {
      socket.end();
      if (!closed) await once(socket, "close");
    },
  };
}

const patienceMs = 3_000;

/** Whether a proxy lets somebody in with a secret. */
export async function isLetIn(port: number, secret: string): Promise<boolean> {
  const client = await connectTelegram(port, secret);
  const letIn = await client.exchange(1, 1).then(
    () => true,
    () => false,
  );
  await client.close();
  return letIn;
}
