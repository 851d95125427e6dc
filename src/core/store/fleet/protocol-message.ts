import { create } from "@bufbuild/protobuf";
import type { Kysely, Selectable } from "kysely";
import { type NodeProtocol, NodeProtocolSchema } from "../../../../gen/garrison/core/v1/node_protocols_pb.ts";
import { parseObject } from "../../domain/fleet/json-object.ts";
import { realityPublicKey } from "../../domain/fleet/protocols/reality-key.ts";
import { poolOf, wireGuardPublicKey } from "../../domain/fleet/protocols/wireguard.ts";
import { withoutSecrets } from "../../domain/fleet/secrets.ts";
import { roomOf } from "../../domain/wireguard/address-pool.ts";
import type { CoreSchema } from "../schema.ts";
import { timeOf } from "./message-values.ts";
import { protocolWords } from "./protocol-words.ts";
import { addressesGiven } from "./tunnel-pools.ts";

/** A protocol of a node as it is kept. */
export type ProtocolRow = Selectable<CoreSchema["node_protocol"]>;

/** One of {@link protocolsOf}. */
export async function readProtocol(db: Kysely<CoreSchema>, row: ProtocolRow): Promise<NodeProtocol> {
  const [protocol] = await protocolsOf(db, [row]);
  if (protocol === undefined) throw new TypeError("one row makes one message");
  return protocol;
}

/** Protocols of nodes as operators see them, in the order of `rows`. */
export async function protocolsOf(db: Kysely<CoreSchema>, rows: readonly ProtocolRow[]): Promise<NodeProtocol[]> {
  const tunnels = rows.filter(({ protocol }) => protocol === "wireguard");
  const given = await addressesGiven(
    db,
    tunnels.map(({ id }) => id),
  );
  return rows.map((row) => protocolOf(row, given.get(row.id) ?? 0));
}

/** A protocol as operators see it: without its secrets. `addressesGiven`: how many subscriptions have one in its tunnels. */
export function protocolOf(row: ProtocolRow, addressesGiven: number): NodeProtocol {
  const settings = parseObject(row.settings) ?? {};
  const pool = row.protocol === "wireguard" ? poolOf(settings) : undefined;
  return create(NodeProtocolSchema, {
    id: BigInt(row.id),
    nodeId: BigInt(row.node_id),
    protocol: protocolWords.value(row.protocol),
    tag: row.tag,
    remark: row.remark,
    listen: row.listen,
    port: row.port,
    enabled: row.enabled === 1,
    settings: JSON.stringify(withoutSecrets(settings)),
    linkSettings: row.link_settings,
    realityPublicKey: realityPublicKey(settings),
    wireguardPublicKey: row.protocol === "wireguard" ? wireGuardPublicKey(settings) : "",
    addressesTotal: pool === undefined ? 0 : roomOf(pool),
    addressesGiven,
    createdAt: timeOf(row.created_at),
  });
}
