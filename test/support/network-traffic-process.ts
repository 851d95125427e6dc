import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Exchange, Pinged, TrafficCall, TrafficReply, Way } from "./network-traffic.ts";

// Runs inside a network, and does there what its parent asks for.

const answerMs = 5_000;

const actions: { [name in keyof TrafficCall]: (args: TrafficCall[name][0]) => Promise<TrafficCall[name][1]> } = {
  serve,
  datagrams,
  tcp,
  startPinging: async (ping) => void pings.push(startPinging(ping)),
  stopPinging: () => Promise.all(pings.splice(0).map((stop) => stop())),
};
const pings: (() => Promise<Pinged>)[] = [];

process.on("message", async ({ id, name, args }: { id: number; name: keyof TrafficCall; args: never }) => {
  const reply: TrafficReply = await (actions[name] as (args: never) => Promise<unknown>)(args).then(
    (result) => ({ id, result }),
    (error: unknown) => ({ id, failure: String(error) }),
  );
  process.send?.(reply);
});
process.on("disconnect", () => process.exit());
process.send?.("ready");

/** Sends datagrams back to whoever sends them, and takes and gives bytes over TCP. */
async function serve({ host, port }: Way): Promise<undefined> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  socket.on("message", (message, from) => socket.send(message, from.port, from.address));
  socket.bind(port, host);
  const server = createServer(async (connection) => {
    connection.on("error", () => connection.destroy());
    let taken = 0;
    let head = Buffer.alloc(0);
    for await (const chunk of connection.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      if (head.length < 8) head = Buffer.concat([head, chunk]);
      taken += chunk.length;
      if (head.length >= 8 && taken === head.readUInt32BE(0)) break;
    }
    connection.end(Buffer.alloc(head.readUInt32BE(4), 7));
  }).listen(port, host);
  await Promise.all([once(socket, "listening"), once(server, "listening")]);
  return undefined;
}

/** Sends one datagram after the other, each when the one before has come back. */
async function datagrams({ host, port, count, bytes }: Way & Exchange): Promise<undefined> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  try {
    for (let number = 0; number < count; number += 1) {
      const back = once(socket, "message", { signal: AbortSignal.timeout(answerMs) });
      socket.send(Buffer.alloc(bytes, number), port, host);
      const [message]: Buffer[] = await back;
      if (message?.length !== bytes || message[0] !== (number & 255)) throw new Error("another datagram came back");
    }
  } finally {
    socket.close();
  }
  return undefined;
}

/** Sends bytes over a connection of its own, and takes as many as it has asked for. */
async function tcp({ host, port, up, down }: Way & { up: number; down: number }): Promise<undefined> {
  const socket = connect({ host, port });
  socket.setTimeout(answerMs, () => socket.destroy(new Error("nothing came any more")));
  const head = Buffer.alloc(up);
  head.writeUInt32BE(up, 0);
  head.writeUInt32BE(down, 4);
  socket.write(head);
  let taken = 0;
  for await (const chunk of socket as AsyncIterable<Buffer>) taken += chunk.length;
  if (taken !== down) throw new Error(`${taken} of ${down} bytes came back`);
  return undefined;
}

/** Sends numbered datagrams at a steady pace, whether they come back or not. Returns what ends it. */
function startPinging({ host, port, everyMs, bytes }: Way & { everyMs: number; bytes: number }): () => Promise<Pinged> {
  const socket: DatagramSocket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const missing = new Set<number>();
  let sent = 0;
  socket.on("message", (message) => missing.delete(message.readUInt32BE(0)));
  const timer = setInterval(() => {
    const ping = Buffer.alloc(bytes);
    ping.writeUInt32BE(sent, 0);
    missing.add(sent);
    sent += 1;
    socket.send(ping, port, host);
  }, everyMs);
  return async () => {
    clearInterval(timer);
    const until = performance.now() + answerMs;
    while (missing.size > 0 && performance.now() < until) await sleep(10);
    socket.close();
    return { sent, lost: [...missing] };
  };
}
