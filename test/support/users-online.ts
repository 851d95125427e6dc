import type { User } from "../../gen/service/node_pb.ts";
import { type ByteTarget, exchange } from "./byte-target.ts";
import type { ProxyProtocol } from "./proxy-protocols.ts";
import { startXrayClient } from "./xray-client.ts";

/** One way in: a user's credential on one inbound. */
export interface Entrance {
  readonly protocol: ProxyProtocol;
  /** Where the inbound listens. */
  readonly port: number;
  readonly user: User;
}

/** What a user sent and received. */
export interface Carried {
  readonly up: number;
  readonly down: number;
}

/** Connects through each entrance with a real client, and tells which let bytes through. */
export async function admitted(
  entrances: readonly Entrance[],
  target: ByteTarget,
  bytes: Carried = { up: 1_000, down: 1_000 },
): Promise<boolean[]> {
  const client = await startXrayClient(entrances.map(({ protocol, port, user }) => protocol.outbound(port, user)));
  try {
    const exchanges = client.proxyPorts.map((port) => exchange(port, target, bytes.up, bytes.down));
    return (await Promise.allSettled(exchanges)).map(({ status }) => status === "fulfilled");
  } finally {
    await client.close();
  }
}
