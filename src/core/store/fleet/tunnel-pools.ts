import type { Kysely, Transaction } from "kysely";
import { UniqueViolation } from "../../../platform/storage/errors.ts";
import type { JsonObject } from "../../domain/fleet/json-object.ts";
import { poolOf } from "../../domain/fleet/protocols/wireguard.ts";
import { Invalid, Taken } from "../../domain/fleet/situations.ts";
import { type AddressPool, ownNumber, roomOf } from "../../domain/wireguard/address-pool.ts";
import type { CoreSchema } from "../schema.ts";
import { countHavingAccess } from "../tunnel-addresses.ts";

/** Throws {@link Taken} when the node has an interface of WireGuard: its engine runs one. */
export async function claimInterface(tx: Transaction<CoreSchema>, nodeId: number): Promise<void> {
  const other = await tx
    .selectFrom("node_protocol")
    .select(["id", "tag"])
    .where("node_id", "=", nodeId)
    .where("protocol", "=", "wireguard")
    .executeTakeFirst();
  if (other !== undefined) throw new Taken("WIREGUARD", hasOne(`${other.tag}, node protocol ${other.id}`));
}

function hasOne(which: string): string {
  return `the node has an interface of WireGuard already, ${which}, and runs only one: change that one, or delete it`;
}

/**
 * Keeps how many addresses a node protocol has for its users, as its settings say; addresses that it has no longer are
 * taken back. Other protocols than WireGuard have none. Throws {@link Invalid} when its users are more.
 */
export async function keepPool(
  tx: Transaction<CoreSchema>,
  { id, node_id, protocol, settings }: { id: number; node_id: number; protocol: string; settings: JsonObject },
): Promise<void> {
  const pool = protocol === "wireguard" ? poolOf(settings) : undefined;
  if (pool === undefined) return;
  const { lastNumber } = pool;
  const before = await tx
    .selectFrom("tunnel_pool")
    .select("last_number")
    .where("node_protocol_id", "=", id)
    .executeTakeFirst();
  if (before?.last_number === lastNumber) return;
  await refuseTooSmall(tx, id, pool);
  await tx
    .insertInto("tunnel_pool")
    .values({ node_protocol_id: id, node_id, last_number: lastNumber, given_number: ownNumber })
    .onConflict((conflict) => conflict.column("node_protocol_id").doUpdateSet({ last_number: lastNumber }))
    .execute()
    .catch((cause: unknown) => {
      throw cause instanceof UniqueViolation ? new Taken("WIREGUARD", hasOne("created at the same time")) : cause;
    });
  await tx.deleteFrom("tunnel_address").where("node_protocol_id", "=", id).where("number", ">", lastNumber).execute();
}

async function refuseTooSmall(tx: Transaction<CoreSchema>, id: number, pool: AddressPool): Promise<void> {
  const users = await countHavingAccess(tx, id);
  if (users <= roomOf(pool)) return;
  const room = `${roomOf(pool)} users, and ${users} subscriptions have the protocol`;
  throw new Invalid("SETTINGS_INVALID", `settings: addressPools: have addresses for ${room}: write larger ranges`);
}

/** How many addresses of node protocols are given, by node protocol; none: absent. */
export async function addressesGiven(
  db: Kysely<CoreSchema>,
  nodeProtocolIds: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  if (nodeProtocolIds.length === 0) return new Map();
  const rows = await db
    .selectFrom("tunnel_address")
    .select(({ fn }) => ["node_protocol_id", fn.countAll<number>().as("count")])
    .where("node_protocol_id", "in", nodeProtocolIds)
    .groupBy("node_protocol_id")
    .execute();
  return new Map(rows.map(({ node_protocol_id, count }) => [node_protocol_id, count]));
}
