import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { startRealNode } from "../../test/callers/real-node.ts";
import { report } from "./report.ts";

/** How long a node keeps connections that never finish their handshake or their first request head. */
export async function measureSilentConnections(): Promise<void> {
  const node = await startRealNode();
  const port = Number(new URL(node.url).port);
  const opened: [string, Socket][] = [
    ["say nothing", connectTcp({ host: "127.0.0.1", port })],
    ["never finish the handshake", connectTcp({ host: "127.0.0.1", port })],
    ["never finish the first request head", connectTls({ host: "127.0.0.1", port, rejectUnauthorized: false })],
  ];
  opened[1]?.[1].write(Buffer.from("1603010100", "hex")); // the head of a record
  opened[2]?.[1].write("GET /info HTTP/1.1\r\nhost: a\r\n");
  const lives = opened.map(async ([how, socket]) => {
    const since = performance.now();
    socket.on("error", () => undefined).resume();
    await new Promise((resolve) => socket.once("close", resolve));
    return [how, performance.now() - since] as const;
  });
  for (const [how, value] of await Promise.all(lives))
    report({ about: `connections that ${how}: closed after`, value, unit: "ms", atMost: 15_000 });
  await node.close();
}
