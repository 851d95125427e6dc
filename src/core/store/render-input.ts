import type { Database } from "../../platform/storage/database.ts";
import type { PublicationStore } from "../domain/publication-store.ts";
import type { LinkRow, NodeRows } from "../domain/render/rows.ts";
import type { CoreSchema } from "./schema.ts";

/** Reads what configs are rendered from. */
export function createRenderInput({ db }: Database<CoreSchema>): Pick<PublicationStore, "nodes" | "links"> {
  const accessOf = async (subscriptionIds: readonly number[]) => {
    if (subscriptionIds.length === 0) return new Map<number, Set<number>>();
    const rows = await db
      .selectFrom("subscription_protocol")
      .selectAll()
      .where("subscription_id", "in", subscriptionIds)
      .execute();
    const bySubscription = Map.groupBy(rows, ({ subscription_id }) => subscription_id);
    return new Map(
      [...bySubscription].map(([id, some]) => [id, new Set(some.map(({ node_protocol_id }) => node_protocol_id))]),
    );
  };
  return {
    async nodes(nodeIds) {
      if (nodeIds.length === 0) return [];
      const nodes = await db
        .selectFrom("node")
        .leftJoin("node_routing", "node_routing.node_id", "node.id")
        .select(["id", "disabled", "protocol_version", "routing", "extra"])
        .where("id", "in", nodeIds)
        .execute();
      const protocols = Map.groupBy(
        await db.selectFrom("node_protocol").selectAll().where("node_id", "in", nodeIds).execute(),
        ({ node_id }) => node_id,
      );
      const outbounds = Map.groupBy(
        await db
          .selectFrom("node_outbound")
          .select(["node_id", "tag", "position", "enabled", "config"])
          .where("node_id", "in", nodeIds)
          .execute(),
        ({ node_id }) => node_id,
      );
      return nodes.map(
        ({ id, disabled, protocol_version, routing, extra }): NodeRows => ({
          nodeId: id,
          disabled: disabled !== 0,
          protocolVersion: protocol_version,
          protocols: (protocols.get(id) ?? []).map(({ enabled, ...row }) => ({ ...row, enabled: enabled !== 0 })),
          outbounds: (outbounds.get(id) ?? []).map(({ enabled, ...row }) => ({ ...row, enabled: enabled !== 0 })),
          routing: routing ?? "{}",
          extra: extra ?? "{}",
        }),
      );
    },
    async links(protocols, after) {
      if (protocols.length === 0) return [];
      const rows = await db
        .selectFrom("link")
        .innerJoin("subscription", "subscription.id", "link.subscription_id")
        .innerJoin("account", "account.id", "subscription.account_id")
        .select((select) => [
          "link.uuid",
          "link.protocol",
          "link.secret",
          "subscription.id as subscriptionId",
          "account.id as userId",
          "subscription.all_protocols as allProtocols",
          "subscription.expires_at as expiresAt",
          "subscription.device_limit as deviceLimit",
          // A number, where quotas may be beyond what one holds exactly: so much makes no difference any more.
          select
            .case()
            .when("subscription.quota_bytes", ">", 2n ** 50n)
            .then(2 ** 50)
            .else(select.ref("subscription.quota_bytes").$castTo<number | null>())
            .end()
            .as("quotaBytes"),
        ])
        .where("link.uuid", ">", after)
        .where("link.protocol", "in", protocols)
        .where("link.enabled", "=", 1)
        .where("subscription.enabled", "=", 1)
        .where("subscription.refused", "=", "")
        .where("account.enabled", "=", 1)
        .orderBy("link.uuid")
        .limit(linksAtOnce)
        .execute();
      const limited = new Set(rows.filter((row) => row.allProtocols === 0).map((row) => row.subscriptionId));
      const access = await accessOf([...limited]);
      return rows.map(
        ({ allProtocols, ...row }): LinkRow => ({
          ...row,
          access: allProtocols === 0 ? (access.get(row.subscriptionId) ?? nothing) : undefined,
        }),
      );
    },
  };
}

/** So many that reading them keeps nobody waiting, where the database works in this thread. */
const linksAtOnce = 1_000;

const nothing: ReadonlySet<number> = new Set();
