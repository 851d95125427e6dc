import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { openVless, untilAdmitted, type Way } from "../../test/support/vless-client.ts";

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

/** Tries again and again until a user gets through, and leaves at once. Throws after a minute. */
export async function untilThrough(way: Way, id: string): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  for (;;) {
    try {
      (await untilAdmitted(openVless(way, id))).destroy();
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
  const sockets = await Promise.all(ids.map((id) => untilAdmitted(openVless(way, id))));
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
