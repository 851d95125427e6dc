import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { ByteTarget } from "./byte-target.ts";

/** Where a user connects: an inbound of this machine that speaks VLESS over plain TCP, and what is asked for behind it. */
export interface Way {
  readonly inboundPort: number;
  readonly targetPort: number;
  /** The address to connect from. Absent: 127.0.0.1. */
  readonly localAddress?: string;
}

// What comes before the first byte of the target: a version and the length of no addons.
const answerHeadBytes = 2;
const stillMs = 5_000;

/** Opens a connection as a user of VLESS, as the protocol has it: version 0, no addons, TCP to an IPv4 address. */
export function openVless({ inboundPort, targetPort, localAddress = "127.0.0.1" }: Way, id: string): Socket {
  const socket = connect({ host: "127.0.0.1", port: inboundPort, localAddress, noDelay: true });
  const port = Buffer.alloc(2);
  port.writeUInt16BE(targetPort);
  const uuid = Buffer.from(id.replaceAll("-", ""), "hex");
  socket.write(Buffer.concat([Uint8Array.of(0), uuid, Uint8Array.of(0, 1), port, Uint8Array.of(1, 127, 0, 0, 1)]));
  return socket;
}

/** Resolves once a byte has come back from the target. Rejects, and closes the socket, when the inbound lets go. */
export async function untilAdmitted(socket: Socket): Promise<Socket> {
  await received(socket, answerHeadBytes + 1);
  return socket;
}

/** Connects as a user to a {@link ByteTarget}, for as long as the socket is open. Rejects when the inbound lets go. */
export function stayConnected(way: Way, id: string): Promise<Socket> {
  const socket = openVless(way, id);
  const asked = Buffer.alloc(8);
  asked.writeUInt32BE(9, 0); // the last byte never comes
  asked.writeUInt32BE(8, 4);
  socket.write(asked);
  return untilAdmitted(socket);
}

/** Sends `up` bytes as a user to a {@link ByteTarget} and takes `down` bytes from it, at least 8 of each. */
export async function carry(
  inboundPort: number,
  id: string,
  target: ByteTarget,
  up: number,
  down: number,
): Promise<void> {
  const socket = openVless({ inboundPort, targetPort: target.port }, id);
  const upload = Buffer.alloc(up, "x");
  upload.writeUInt32BE(up, 0);
  upload.writeUInt32BE(down, 4);
  socket.write(upload);
  await received(socket, answerHeadBytes + down);
  const closed = once(socket, "close");
  socket.destroy();
  await closed;
}

/** Waits until so many bytes have come, and takes no more. */
async function received(socket: Socket, bytes: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let count = 0;
  const take = (piece: Buffer) => {
    count += piece.length;
    if (count >= bytes) resolve();
  };
  const fail = () => reject(new Error(`the connection ended after ${count} of ${bytes} bytes`));
  socket.on("data", take).on("error", fail).on("close", fail).setTimeout(stillMs, fail);
  try {
    await promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    socket.off("data", take).off("close", fail).setTimeout(0);
  }
}
