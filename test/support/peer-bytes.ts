import { expect, vi } from "vitest";
import { StatType } from "../../gen/service/node_pb.ts";
import type { CompatNode } from "../compat/harness.ts";
import type { ConnectedPerson } from "./wireguard-scene.ts";

/** Bytes of a peer, as the node sees them. */
export interface PeerBytes {
  readonly received: number;
  readonly sent: number;
}

/** What a node tells of somebody by one of their keys. */
export async function toldOf(
  { grpc }: CompatNode,
  { email, keys }: ConnectedPerson,
  key = keys.publicKey,
): Promise<PeerBytes> {
  const { stats } = await grpc.stats({ type: StatType.UserStat, name: email });
  const of = (wanted: string) => Number(stats.find(({ type, link }) => type === wanted && link === key)?.value ?? 0n);
  return { received: of("downlink"), sent: of("uplink") };
}

/** What somebody's own WireGuard has counted: the other way round. */
export async function countedBy({ peer }: ConnectedPerson): Promise<PeerBytes> {
  const { sentBytes: received, receivedBytes: sent } = await peer.state();
  return { received, sent };
}

/**
 * What both ends have counted, who agree; fails when they do not. Each counts a packet a moment after it has sent it. Of
 * what the person has counted, `since` is what the node had told before its counters were reset.
 */
export function bothCounted(
  node: CompatNode,
  person: ConnectedPerson,
  { key = person.keys.publicKey, since = { received: 0, sent: 0 } }: { key?: string; since?: PeerBytes } = {},
): Promise<PeerBytes> {
  return vi.waitFor(async () => {
    const own = await countedBy(person);
    const { received, sent } = own;
    expect(await toldOf(node, person, key)).toEqual({ received: received - since.received, sent: sent - since.sent });
    return own;
  });
}
