import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A TCP server that sends back what it gets. */
export interface EchoTarget {
  readonly port: number;
  close(): Promise<void>;
}

/** Starts a target on 127.0.0.1. */
export async function startEchoTarget(): Promise<EchoTarget> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
    socket.pipe(socket);
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

/** A connection that carries a byte every few milliseconds. */
export interface SteadyConnection {
  /** Whether it has ended. */
  readonly dropped: boolean;
  /** The longest time without a byte so far. */
  longestGapMs(): number;
  /** Resolves when a byte has gone there and back from now on; throws when the connection has ended. */
  carries(): Promise<void>;
  close(): void;
}

const tickMs = 10;
// The choice of a method, and the answer to the request.
const proxyAnswerBytes = 2 + 10;

/**
 * Connects to a target through the SOCKS5 proxy on `proxyPort`, of this machine or another one. Throws when the first
 * byte does not come back.
 */
export async function connectSteadily(
  proxyPort: number,
  target: EchoTarget,
  proxyHost = "127.0.0.1",
): Promise<SteadyConnection> {
  const socket = connect({ host: proxyHost, port: proxyPort, noDelay: true });
  let dropped = false;
  // Not `once` of events: it takes an error, such as a reset, for the end of its waiting.
  const { promise: ended, reject } = Promise.withResolvers<never>();
  ended.catch(() => undefined);
  socket.on("error", () => undefined);
  socket.once("close", () => {
    dropped = true;
    reject(new Error("the connection has ended"));
  });
  const port = Buffer.alloc(2);
  port.writeUInt16BE(target.port);
  await once(socket, "connect");
  const echoed = new Promise<void>((resolve) => {
    let bytes = 0;
    socket.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes >= proxyAnswerBytes + 1) resolve();
    });
  });
  socket.write(Uint8Array.of(5, 1, 0));
  await Promise.race([once(socket, "data"), ended]);
  // The first byte comes along: see FirstBytes of the byte target.
  socket.write(Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, ...port, 0));
  await Promise.race([echoed, ended]);
  let last = performance.now();
  let gap = 0;
  const gapNow = () => Math.max(gap, performance.now() - last);
  socket.on("data", () => {
    gap = gapNow();
    last = performance.now();
  });
  const ticking = setInterval(() => socket.write("x"), tickMs);
  socket.on("close", () => clearInterval(ticking));
  return {
    get dropped() {
      return dropped;
    },
    longestGapMs: gapNow,
    async carries() {
      // The first may have been on its way already.
      for (let count = 0; count < 3; count++) await Promise.race([once(socket, "data"), ended]);
    },
    close: () => void socket.destroy(),
  };
}
