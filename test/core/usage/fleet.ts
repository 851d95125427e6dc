import { randomBytes } from "node:crypto";
import type { Insertable } from "kysely";
import type { CoreSchema } from "../../../src/core/store/schema.ts";
import type { Database } from "../../../src/platform/storage/database.ts";

/** What a test of usage begins with. */
export interface UsageFleet {
  readonly nodeIds: readonly number[];
  /** The protocol that each node serves. */
  readonly protocolIds: readonly number[];
  readonly accountIds: readonly number[];
  /** One of each account. */
  readonly subscriptionIds: readonly number[];
}

/** Puts nodes with a protocol and an outbound `direct` each, and users with a subscription each, into an empty database. */
export async function addFleet(
  { transaction }: Database<CoreSchema>,
  size: { nodes: number; users: number },
  terms: Partial<Insertable<CoreSchema["subscription"]>> = {},
): Promise<UsageFleet> {
  return transaction(async (tx) => {
    const fleet = { nodeIds: [], protocolIds: [], accountIds: [], subscriptionIds: [] } as Record<string, number[]>;
    for (let index = 1; index <= size.nodes; index += 1) {
      const node = await tx
        .insertInto("node")
        .values({ name: `node-${index}`, host: "", ip: `192.0.2.${index % 255}`, created_at: 1, enrolled_at: 1 })
        .returning("id")
        .executeTakeFirstOrThrow();
      const protocol = await tx
        .insertInto("node_protocol")
        .values({ node_id: node.id, protocol: "vless", tag: "vless", port: 443, settings: "{}", created_at: 1 })
        .returning("id")
        .executeTakeFirstOrThrow();
      await tx
        .insertInto("node_outbound")
        .values({ node_id: node.id, tag: "direct", position: 0, config: "{}" })
        .execute();
      fleet.nodeIds?.push(node.id);
      fleet.protocolIds?.push(protocol.id);
    }
    for (let index = 1; index <= size.users; index += 1) {
      const account = await tx
        .insertInto("account")
        .values({ name: `user-${index}`, created_at: 1 })
        .returning("id")
        .executeTakeFirstOrThrow();
      const subscription = await tx
        .insertInto("subscription")
        .values({
          account_id: account.id,
          created_at: 1,
          token_hash: randomBytes(32),
          token_rotated_at: 1,
          period_started_at: 1,
          ...terms,
        })
        .returning("id")
        .executeTakeFirstOrThrow();
      fleet.accountIds?.push(account.id);
      fleet.subscriptionIds?.push(subscription.id);
    }
    return fleet as unknown as UsageFleet;
  });
}
