import { connect } from "node:net";
import { socketOf } from "../../src/node/engines/wireguard/device/uapi-socket.ts";
import type { NetworkNamespace } from "../../test/support/network-namespace.ts";
import { startWireGuard } from "../../test/support/wireguard-peer.ts";
import { addressOf, keyOf } from "../node/made-users.ts";
import { timed } from "../node/report.ts";

/** What WireGuard itself takes for what a node asks of it, in milliseconds. */
export interface BareTimes {
  /** From spawning it until it has so many peers. */
  readonly start: number;
  /** To be given so many peers in one request. */
  readonly setAll: number;
  /** To have one peer changed for another. */
  readonly setOne: number;
  /** To tell all its peers. */
  readonly get: number;
}

/** Measures a WireGuard that nobody else uses, by requests that are ready made, and answers that nobody reads. */
export async function measureBare(count: number, network: NetworkNamespace): Promise<BareTimes> {
  const name = `gb${process.pid}`;
  const startedAt = performance.now();
  const wireGuard = await startWireGuard(name, network);
  const startMs = performance.now() - startedAt;
  const ask = (request: string) => askWireGuard(name, request);
  const peer = (number: number, generation: number) => [
    `public_key=${Buffer.from(keyOf(number, generation), "base64").toString("hex")}`,
    "replace_allowed_ips=true",
    `allowed_ip=${addressOf(number)}`,
  ];
  const all = ["set=1", ...Array.from({ length: count }, (_, number) => peer(number, 0)).flat()].join("\n");
  const { ms: setAll } = await timed(() => ask(all));
  const { ms: setOne } = await timed(() => ask(["set=1", ...peer(0, 1)].join("\n")));
  await ask("get=1");
  const { ms: get } = await timed(() => ask("get=1"));
  await wireGuard.close();
  return { start: startMs + setAll, setAll, setOne, get };
}

/** Sends a request to a WireGuard, and waits for its answer. Throws when it refuses. */
export async function askWireGuard(name: string, request: string): Promise<void> {
  const socket = connect(socketOf(name));
  socket.write(`${request}\n\n`);
  let tail = "";
  for await (const chunk of socket.setEncoding("latin1")) {
    tail = (tail + chunk).slice(-20);
    if (tail.endsWith("errno=0\n\n")) return;
    if (tail.endsWith("\n\n")) throw new Error(`WireGuard refuses: ${tail}`);
  }
  throw new Error("WireGuard hung up");
}
