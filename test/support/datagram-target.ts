import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";

/** A UDP server on a port of 127.0.0.1 that sends back what it gets. */
export async function startDatagramTarget(port: number): Promise<{ close(): Promise<void> }> {
  const socket = createSocket("udp4");
  socket.on("message", (message, from) => socket.send(message, from.port, from.address));
  socket.bind(port, "127.0.0.1");
  await once(socket, "listening");
  return {
    async close() {
      socket.close();
      await once(socket, "close");
    },
  };
}

const answerMs = 2_000;

/**
 * Sends a datagram to an IPv4 address through the SOCKS5 proxy on `proxyPort`, and waits for it to come back. Throws when
 * the proxy refuses, nothing comes for two seconds, or something else does.
 */
export async function echo(proxyPort: number, address: string, port: number): Promise<void> {
  const signal = AbortSignal.timeout(answerMs);
  const control = connect({ host: "127.0.0.1", port: proxyPort });
  const socket = createSocket("udp4");
  try {
    await once(control, "connect", { signal });
    control.write(Uint8Array.of(5, 1, 0));
    await once(control, "data", { signal });
    control.write(Uint8Array.of(5, 3, 0, 1, 0, 0, 0, 0, 0, 0));
    const [reply]: Buffer[] = await once(control, "data", { signal });
    if (reply?.[1] !== 0 || reply[3] !== 1) throw new Error("the proxy takes no datagrams");
    const payload = randomBytes(600);
    const head = Buffer.from([0, 0, 0, 1, ...address.split(".").map(Number), port >> 8, port & 255]);
    socket.send(Buffer.concat([head, payload]), reply.readUInt16BE(8), "127.0.0.1");
    const [answer]: Buffer[] = await once(socket, "message", { signal });
    if (!answer?.subarray(-payload.length).equals(payload)) throw new Error("another datagram came back");
  } finally {
    control.destroy();
    socket.close();
  }
}
