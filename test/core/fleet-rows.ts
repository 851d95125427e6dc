import type { CoreSchema } from "../../src/core/store/schema.ts";
import type { Database } from "../../src/platform/storage/database.ts";

// Writes the rows that operators would, without their API.

/** A node that serves `protocols`, each with settings that do. Returns its id. */
export async function addNode(
  { db }: Database<CoreSchema>,
  name: string,
  protocols: readonly string[] = ["vless"],
  protocolVersion = 1,
): Promise<number> {
  const { id } = await db
    .insertInto("node")
    .values({ name, host: "", ip: "192.0.2.1", created_at: 1, protocol_version: protocolVersion })
    .returning("id")
    .executeTakeFirstOrThrow();
  for (const [index, protocol] of protocols.entries()) {
    const row = await db
      .insertInto("node_protocol")
      .values({
        node_id: id,
        protocol,
        tag: `${protocol}-${index}`,
        port: 10_000 + index,
        settings: JSON.stringify(settings[protocol] ?? {}),
        created_at: 1,
      })
      .returning("id")
      .executeTakeFirstOrThrow();
    if (protocol === "wireguard") {
      const pool = { node_protocol_id: row.id, node_id: id, last_number: 65_534, given_number: 1 };
      await db.insertInto("tunnel_pool").values(pool).execute();
    }
  }
  return id;
}

const settings: Readonly<Record<string, object>> = {
  shadowsocks: { settings: { method: "aes-256-gcm" } },
  wireguard: { privateKey: Buffer.alloc(32, 1).toString("base64"), addressPools: ["10.66.0.0/16", "fd66::/64"] },
};

/** What of a subscription is not as usual. */
export interface SubscriptionRows {
  readonly expires_at?: number;
  readonly quota_bytes?: bigint;
  readonly device_limit?: number;
  readonly all_protocols?: number;
  readonly reset_period?: string;
  readonly next_reset_at?: number;
  readonly period_bytes?: bigint;
}

/** Users with a subscription each, which has a link of every protocol in `kinds`. Returns the subscriptions' ids. */
export async function addUsers(
  database: Database<CoreSchema>,
  count: number,
  kinds: readonly string[] = ["vless"],
  more: SubscriptionRows = {},
): Promise<number[]> {
  return database.transaction(async (tx) => {
    const { from } = await tx
      .selectFrom("account")
      .select(({ fn }) => fn.max("id").as("from"))
      .executeTakeFirstOrThrow();
    const ids = Array.from({ length: count }, (_, index) => Number(from ?? 0) + index + 1);
    for (let at = 0; at < count; at += 500) {
      const some = ids.slice(at, at + 500);
      await tx
        .insertInto("account")
        .values(some.map((id) => ({ id, name: `user-${id}`, created_at: 1 })))
        .execute();
      await tx
        .insertInto("subscription")
        .values(
          some.map((id) => ({
            id,
            account_id: id,
            created_at: 1,
            token_hash: Buffer.from(`token-${id}`),
            token_rotated_at: 1,
            period_started_at: 1,
            ...more,
          })),
        )
        .execute();
      await tx
        .insertInto("link")
        .values(some.flatMap((id) => kinds.map((protocol, kind) => linkRow(id, protocol, kind))))
        .execute();
    }
    return ids;
  });
}

function linkRow(id: number, protocol: string, kind: number) {
  // Spread like random ones, and the same every time.
  const spread = ((id * 2_654_435_761 + kind * 40_503) >>> 0).toString(16).padStart(8, "0");
  const uuid = `${spread}-0000-4000-8000-${`${id}`.padStart(11, "0")}${kind}`;
  const secret = protocol === "mtproto" ? `${spread}${spread}${spread}${spread}` : uuid;
  const public_key = protocol === "wireguard" ? Buffer.from(spread.repeat(4)).toString("base64") : "";
  return { uuid, subscription_id: id, protocol, secret, public_key };
}
