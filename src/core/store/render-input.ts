import { type SelectQueryBuilder, sql } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import type { Pace } from "../domain/pace.ts";
import type { PublicationStore } from "../domain/publication-store.ts";
import type { LinkRow, NodeRows } from "../domain/render/rows.ts";
import type { CoreSchema } from "./schema.ts";

/** Reads what configs are rendered from. */
export function createRenderInput(database: Database<CoreSchema>): Pick<PublicationStore, "nodes" | "links"> {
  const { db } = database;
  return {
    async nodes(nodeIds) {
      if (nodeIds.length === 0) return [];
      const nodes = await db
        .selectFrom("node")
        .leftJoin("node_routing", "node_routing.node_id", "node.id")
        .select(["id", "disabled", "draining_since", "protocol_version", "routing", "extra"])
        .where("id", "in", nodeIds)
        .execute();
      const protocols = Map.groupBy(
        await db.selectFrom("node_protocol").selectAll().where("node_id", "in", nodeIds).execute(),
        ({ node_id }) => node_id,
      );
      const outbounds = Map.groupBy(
        await db
          .selectFrom("node_outbound")
          .select(["id", "node_id", "tag", "position", "enabled", "config"])
          .where("node_id", "in", nodeIds)
          .execute(),
        ({ node_id }) => node_id,
      );
      return nodes.map(
        ({ id, disabled, draining_since, protocol_version, routing, extra }): NodeRows => ({
          nodeId: id,
          disabled: disabled !== 0,
          drainingSince: draining_since,
          protocolVersion: protocol_version,
          protocols: (protocols.get(id) ?? []).map(({ enabled, ...row }) => ({ ...row, enabled: enabled !== 0 })),
          outbounds: (outbounds.get(id) ?? []).map(({ enabled, ...row }) => ({ ...row, enabled: enabled !== 0 })),
          routing: routing ?? "{}",
          extra: extra ?? "{}",
        }),
      );
    },
    async links(protocols, pace) {
      if (protocols.length === 0) return [];
      const found = usableLinks(database, protocols);
      return database.engine === "sqlite" ? readByUuid(found, pace) : readByCursor(database, found, pace);
    },
  };
}

/** The links of some protocols that may be used. */
function usableLinks({ db, engine }: Database<CoreSchema>, protocols: readonly string[]) {
  const ids = sql.raw(
    engine === "sqlite" ? "group_concat(node_protocol_id)" : "string_agg(node_protocol_id::text, ',')",
  );
  const access = sql<string | null>`case when subscription.all_protocols = 0 then coalesce(
    (select ${ids} from subscription_protocol where subscription_id = subscription.id), '') end`;
  // A number, where quotas may be beyond what one holds exactly: so much makes no difference any more.
  const quotaBytes = sql<number | null>`case when subscription.quota_bytes > 1125899906842624
    then 1125899906842624 else subscription.quota_bytes end`;
  return db
    .selectFrom("link")
    .innerJoin("subscription", "subscription.id", "link.subscription_id")
    .innerJoin("account", "account.id", "subscription.account_id")
    .select([
      "link.uuid",
      "link.protocol",
      "link.secret",
      "link.public_key as publicKey",
      "subscription.id as subscriptionId",
      "account.id as userId",
      access.as("access"),
      "subscription.expires_at as expiresAt",
      quotaBytes.as("quotaBytes"),
      "subscription.device_limit as deviceLimit",
      "subscription.fail_open as failOpen",
      "subscription.created_at as createdAt",
    ])
    .where(
      "link.protocol",
      "in",
      protocols.map((protocol) => sql.lit(protocol)),
    )
    .where("link.enabled", "=", sql.lit(1))
    .where("subscription.enabled", "=", sql.lit(1))
    .where("subscription.refused", "=", sql.lit(""))
    .where("account.enabled", "=", sql.lit(1))
    .orderBy("link.uuid");
}

type UsableLinks = ReturnType<typeof usableLinks>;
type UsableLink = UsableLinks extends SelectQueryBuilder<CoreSchema, never, infer Row> ? Row : never;

/** SQLite works in this thread: some at a time, from one UUID to the next. */
async function readByUuid(found: UsableLinks, pace: Pace): Promise<LinkRow[]> {
  const links: LinkRow[] = [];
  const page = found.limit(readAtOnce);
  for (;;) {
    const rows = await page.where("link.uuid", ">", links.at(-1)?.uuid ?? "").execute();
    links.push(...rows.map(linkOf));
    if (rows.length < readAtOnce) return links;
    await pace();
  }
}

/** PostgreSQL would join and sort anew for each page. */
function readByCursor(database: Database<CoreSchema>, found: UsableLinks, pace: Pace): Promise<LinkRow[]> {
  return database.transaction(
    async (tx) => {
      const links: LinkRow[] = [];
      await sql`declare usable_link no scroll cursor for ${found}`.execute(tx);
      for (;;) {
        const { rows } = await sql<UsableLink>`fetch ${sql.lit(readAtOnce)} from usable_link`.execute(tx);
        links.push(...rows.map(linkOf));
        if (rows.length < readAtOnce) return links;
        await pace();
      }
    },
    { isolation: "read committed", readOnly: true },
  );
}

// Field by field: to copy a row and change one costs several times as much.
function linkOf(row: UsableLink): LinkRow {
  const { access } = row;
  return {
    uuid: row.uuid,
    protocol: row.protocol,
    secret: row.secret,
    publicKey: row.publicKey,
    subscriptionId: row.subscriptionId,
    userId: row.userId,
    access: access === null ? undefined : new Set(access === "" ? [] : access.split(",").map(Number)),
    expiresAt: row.expiresAt,
    quotaBytes: row.quotaBytes,
    deviceLimit: row.deviceLimit,
    failOpen: row.failOpen !== 0,
    createdAt: row.createdAt,
  };
}

/** So many that reading them keeps nobody waiting. */
const readAtOnce = 500;
