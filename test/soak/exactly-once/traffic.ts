import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { openVless } from "../../support/vless-client.ts";

/** What both ends of a connection know of its payload. Of one that has ended well, nothing else can have been counted. */
export interface Transfer {
  readonly subscriptionId: number;
  readonly startedAt: number;
  /** Undefined: it is under way. By {@link performance.now}. */
  endedAt: number | undefined;
  /** All that was to be carried was. */
  isWhole: boolean;
  /** Bytes that were given to the connection, at one end or the other: no more than these can have been counted. */
  most: number;
  /** Bytes that have come out of it, at the other end: no less than these have crossed the engine. */
  least: number;
}

/** Carries bytes of users to a server on this machine, and back, and remembers what both ends have seen. */
export interface Traffic {
  readonly transfers: readonly Transfer[];
  /** Carries so many bytes each way, at its leisure; resolves when they are, or the connection has ended. */
  carry(way: { port: number; id: string; subscriptionId: number }, bytes: { up: number; down: number }): Promise<void>;
  close(): Promise<void>;
}

const headBytes = 12;
const pieceBytes = 4_096;
const stillMs = 3_000;

/** Starts the server. */
export async function startTraffic(): Promise<Traffic> {
  const transfers: Transfer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => socket.destroy());
    let head = Buffer.alloc(0);
    socket.on("data", (piece: Buffer) => {
      const isKnown = head.length >= headBytes;
      if (!isKnown) head = Buffer.concat([head, piece]);
      if (head.length < headBytes) return;
      const transfer = transfers[head.readUInt32BE(0)];
      if (transfer === undefined) return void socket.destroy();
      transfer.least += isKnown ? piece.length : head.length;
      if (!isKnown) void send(socket, transfer, Buffer.alloc(head.readUInt32BE(8), "d"));
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const targetPort = (server.address() as AddressInfo).port;

  return {
    transfers,
    async carry({ port, id, subscriptionId }, { up, down }) {
      const transfer: Transfer = {
        ...{ subscriptionId, startedAt: performance.now(), endedAt: undefined, isWhole: false, most: 0, least: 0 },
      };
      const upload = Buffer.alloc(Math.max(up, headBytes), "u");
      upload.writeUInt32BE(transfers.push(transfer) - 1, 0);
      upload.writeUInt32BE(upload.length, 4);
      upload.writeUInt32BE(down, 8);
      const socket = openVless({ inboundPort: port, targetPort }, id);
      sockets.add(socket);
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      let left = answerHeadBytes + down;
      socket.on("data", (piece: Buffer) => {
        // The two bytes in front are the protocol's.
        transfer.least += Math.min(piece.length, Math.max(0, piece.length - Math.max(0, left - down)));
        left -= piece.length;
        if (left <= 0) end();
      });
      socket.on("error", () => end()).on("close", () => end());
      socket.setTimeout(stillMs, () => end());
      await Promise.all([send(socket, transfer, upload), ended]);
      transfer.isWhole = transfer.least === upload.length + down && transfer.most === transfer.least;
      socket.destroy();
      sockets.delete(socket);
      transfer.endedAt = performance.now();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await once(server.close(), "close");
    },
  };
}

// What comes before the first byte of the target: a version and the length of no addons.
const answerHeadBytes = 2;

/** Sends in pieces, with pauses, so that something is under way all the time. */
async function send(socket: Socket, transfer: Transfer, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length && !socket.destroyed; at += pieceBytes) {
    const piece = bytes.subarray(at, at + pieceBytes);
    transfer.most += piece.length;
    socket.write(piece);
    await sleep(4);
  }
}
