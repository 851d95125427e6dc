import { sql, type Transaction } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import type { ConfigScope } from "../domain/configs.ts";
import type { Claim, Publication, PublicationStore } from "../domain/publication-store.ts";
import { tellPublished } from "./config-heads.ts";
import { createRenderInput } from "./render-input.ts";
import { createAddRevisions } from "./revisions.ts";
import type { CoreSchema } from "./schema.ts";
import { createTunnelAddresses } from "./tunnel-addresses.ts";

/** How long changes of a node are collected: from the last one, and from the first one at most. */
export interface Debounce {
  readonly quietMs: number;
  readonly mostMs: number;
}

/** What operators and traffic change comes in bursts, and shall be seen within a second. */
export const usualDebounce: Debounce = { quietMs: 200, mostMs: 2_000 };

/** Keeps what is to be published in the database, so that a change is published whatever dies. */
export function createPublicationStore(
  database: Database<CoreSchema>,
  debounce: Debounce = usualDebounce,
): PublicationStore {
  const { db } = database;
  const readCommitted = { isolation: "read committed" } as const;
  const addRevisions = createAddRevisions(database);
  const addresses = createTunnelAddresses(database);
  const settle = database.prepare<Settled, never>((build, { nodeId, version, digest, protocolVersion, now }) =>
    build
      .updateTable("node_publication")
      .set((set) => ({
        published_version: version,
        first_at: set.case().when("version", ">", version).then(sql<number>`cast(${now} as bigint)`).else(null).end(),
        claimed_by: "",
        claimed_until: 0,
        rendered_digest: digest,
        protocol_version: protocolVersion,
        checked_at: now,
      }))
      .where("node_id", "=", nodeId),
  );
  return {
    ...createRenderInput(database),
    addressNumbers: addresses.numbersOf,
    giveAddresses: addresses.give,
    mark: (scope, reason, now) =>
      database.transaction((tx) => markNodes(tx, scope, reason, now, debounce), readCommitted),
    async markUnchecked(before, most, now) {
      const nodes = await db
        .selectFrom("node")
        .leftJoin("node_publication as publication", "publication.node_id", "node.id")
        .select("node.id")
        .where((where) =>
          where.or([
            where("publication.node_id", "is", null),
            where.and([
              where("publication.first_at", "is", null),
              where.or([
                where("publication.checked_at", "<", before),
                where("publication.protocol_version", "<>", where.ref("node.protocol_version")),
              ]),
            ]),
          ]),
        )
        .orderBy("publication.checked_at")
        .limit(most)
        .execute();
      const nodeIds = nodes.map(({ id }) => id);
      if (nodeIds.length === 0) return;
      await database.transaction((tx) => markNodes(tx, { nodeIds }, "checked", now, debounce), readCommitted);
    },
    async claim(by, now, until, most) {
      const due = await db
        .selectFrom("node_publication")
        .select("node_id")
        .where("first_at", "is not", null)
        .where("due_at", "<=", now)
        .where("claimed_until", "<=", now)
        .orderBy("due_at")
        .limit(most)
        .execute();
      if (due.length === 0) return [];
      const claimed = await db
        .updateTable("node_publication")
        .set({ claimed_by: by, claimed_until: until })
        .where(
          "node_id",
          "in",
          due.map(({ node_id }) => node_id),
        )
        .where("first_at", "is not", null)
        .where("claimed_until", "<=", now)
        .returning(["node_id", "version", "reason"])
        .execute();
      return claimed.map(({ node_id: nodeId, version, reason }): Claim => ({ nodeId, version, reason }));
    },
    async nextDueAt() {
      const next = await db
        .selectFrom("node_publication")
        .select("due_at")
        .where("first_at", "is not", null)
        .orderBy("due_at")
        .limit(1)
        .executeTakeFirst();
      return next?.due_at;
    },
    publish: (by, rendered, now) =>
      database.transaction(async (tx) => {
        const held = await tx
          .updateTable("node_publication")
          .set({ claimed_until: now })
          .where(
            "node_id",
            "in",
            rendered.map(({ nodeId }) => nodeId),
          )
          .where("claimed_by", "=", by)
          .returning(["node_id", "rendered_digest"])
          .execute();
        const digests = new Map(held.map(({ node_id, rendered_digest }) => [node_id, rendered_digest]));
        const ours = rendered.filter(({ nodeId }) => digests.has(nodeId));
        const changed = ours.filter(({ nodeId, digest }) => digests.get(nodeId) !== digest);
        await addRevisions(tx, changed, now);
        await settle.runMany(
          ours.map((publication) => ({ ...publication, now })),
          tx,
        );
        const nodeIds = changed.map(({ nodeId }) => nodeId);
        await tellPublished(database, nodeIds, tx);
        return changed.length;
      }, readCommitted),
    async release(by, nodeIds, dueAt) {
      if (nodeIds.length === 0) return;
      await db
        .updateTable("node_publication")
        .set({ claimed_by: "", claimed_until: 0, due_at: dueAt })
        .where("node_id", "in", nodeIds)
        .where("claimed_by", "=", by)
        .execute();
    },
  };
}

type Settled = Pick<Publication, "nodeId" | "version" | "digest" | "protocolVersion"> & { readonly now: number };

/**
 * Notes in a transaction that configs may have changed. Changes of subscriptions concern every node that serves
 * anything: one that a subscription has lost cannot be told any more.
 */
export async function markNodes(
  tx: Transaction<CoreSchema>,
  scope: ConfigScope,
  reason: string,
  now: number,
  { quietMs, mostMs }: Debounce,
): Promise<void> {
  const all = tx.selectFrom("node").orderBy("node.id");
  const nodes =
    scope === "all"
      ? all
      : "nodeIds" in scope
        ? all.where("node.id", "in", scope.nodeIds)
        : all.where("node.id", "in", tx.selectFrom("node_protocol").select("node_id"));
  const first = sql<number>`coalesce(node_publication.first_at, ${now})`;
  await tx
    .insertInto("node_publication")
    .columns(["node_id", "version", "first_at", "due_at", "reason"])
    .expression(
      nodes
        .select((select) => [
          "node.id",
          select.lit(1).as("version"),
          select.cast<number>(select.val(now), "bigint").as("first_at"),
          select.cast<number>(select.val(now + quietMs), "bigint").as("due_at"),
          select.cast<string>(select.val(reason), "text").as("reason"),
        ])
        .where(sql<boolean>`1 = 1`),
    )
    .onConflict((conflict) =>
      conflict.column("node_id").doUpdateSet((set) => ({
        version: set("node_publication.version", "+", 1),
        first_at: first,
        due_at: sql<number>`case when ${first} + ${mostMs} < ${now + quietMs} then ${first} + ${mostMs}
          else ${now + quietMs} end`,
        reason: sql<string>`case when node_publication.first_at is null then excluded.reason
          when node_publication.reason = excluded.reason or length(node_publication.reason) > 160
          then node_publication.reason else node_publication.reason || '; ' || excluded.reason end`,
      })),
    )
    .execute();
}
