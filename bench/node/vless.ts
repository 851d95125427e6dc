import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** A server that sends a byte every few milliseconds to everybody who connects, and takes whatever it gets. */
export interface Ticker {
  readonly port: number;
  close(): void;
}

/** How often a {@link Ticker} sends a byte. */
export const tickMs = 10;

/** Starts a ticker on 127.0.0.1. */
export async function startTicker(): Promise<Ticker> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.write(".");
    socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
    socket.resume();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const timer = setInterval(() => {
    for (const socket of sockets) socket.write(".");
  }, tickMs);
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      clearInterval(timer);
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Where a user connects: an inbound that speaks VLESS over plain TCP, and what is asked for behind it. */
export interface Way {
  readonly inboundPort: number;
  readonly targetPort: number;
}

/**
 * Connects as a user of VLESS, as its protocol has it (version 0, no addons, TCP to an IPv4 address). Resolves with the
 * socket once a byte has come back from the target; rejects when the inbound lets go.
 */
export async function connectVless({ inboundPort, targetPort }: Way, id: string): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port: inboundPort, noDelay: true });
  const port = Buffer.alloc(2);
  port.writeUInt16BE(targetPort);
  const head = [[0], Buffer.from(id.replaceAll("-", ""), "hex"), [0, 1], port, [1, 127, 0, 0, 1]];
  socket.write(Buffer.concat(head.map((part) => Buffer.from(part))));
  let received = 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const take = (piece: Buffer) => {
    received += piece.length;
    if (received > 2) resolve(); // behind the two bytes of the answer's head
  };
  const fail = () => reject(new Error("refused"));
  socket.on("data", take).on("error", fail).on("close", fail).setTimeout(2_000, fail);
  try {
    await promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    socket.off("data", take).off("close", fail).setTimeout(0);
  }
  return socket;
}

/** Tries again and again until a user gets through, and leaves at once. Throws after a minute. */
export async function untilThrough(way: Way, id: string): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  for (;;) {
    try {
      (await connectVless(way, id)).destroy();
      return;
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await sleep(2);
    }
  }
}

/** Open connections on which bytes keep coming. */
export interface Audience {
  /** How many are closed, and the longest silence on any, in milliseconds, since the last time it was asked. */
  observe(): { dropped: number; longestGapMs: number };
  close(): void;
}

/** Opens a connection for each of these users, to a {@link Ticker}. */
export async function gather(way: Way, ids: readonly string[]): Promise<Audience> {
  const sockets = await Promise.all(ids.map((id) => connectVless(way, id)));
  let dropped = 0;
  let longestGapMs = 0;
  for (const socket of sockets) {
    let lastAt = performance.now();
    socket.on("data", () => {
      const now = performance.now();
      longestGapMs = Math.max(longestGapMs, now - lastAt);
      lastAt = now;
    });
    socket.once("close", () => {
      dropped += 1;
    });
  }
  return {
    observe() {
      const seen = { dropped, longestGapMs };
      longestGapMs = 0;
      return seen;
    },
    close() {
      for (const socket of sockets) socket.removeAllListeners("close").destroy();
    },
  };
}
