import { sql } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import type { History, HistoryStore } from "../domain/history-retention.ts";
import type { CoreSchema } from "./schema.ts";

/** Forgets what is old in Core's database. */
export function createHistoryStore({ db, transaction }: Database<CoreSchema>): HistoryStore {
  return {
    async forget(history, before) {
      const { table, time } = tables[history];
      // Rows were added about in the order of their times: nothing is old behind many that are not.
      const { rows } = await sql<{ id: number; at: number }>`
        select id, ${sql.ref(time)} as at from ${sql.table(table)} order by id limit ${rowsAtOnce}`.execute(db);
      const old = rows.filter(({ at }) => at < before).map(({ id }) => id);
      if (old.length > 0) await db.deleteFrom(table).where("id", "in", old).execute();
      return old.length > 0 && rows.length === rowsAtOnce;
    },
    async forgetInbounds(before) {
      await db.deleteFrom("inbound_day").where("day", "<", before).execute();
    },
    async forgetProtocols(before) {
      await db.deleteFrom("former_node_protocol").where("deleted_at", "<", before).execute();
    },
    async forgetOnline(before) {
      await db.deleteFrom("online_session").where("since", "<", before).execute();
    },
    async nodesWithMany(revisions) {
      const rows = await db
        .selectFrom("revision")
        .select("node_id")
        .groupBy("node_id")
        .having((having) => having.fn.countAll<number>(), ">", revisions)
        .execute();
      return rows.map(({ node_id }) => node_id);
    },
    forgetRevisions: (nodeId, kept, before) =>
      transaction(async (tx) => {
        const ofNode = tx.selectFrom("revision").where("node_id", "=", nodeId);
        const newest = await ofNode.select("revision").orderBy("revision", "desc").offset(kept).limit(1).execute();
        const applied = await ofNode
          .select(({ fn }) => fn.max("revision").as("revision"))
          .where("outcome", "=", "applied")
          .executeTakeFirst();
        const node = await tx
          .selectFrom("node")
          .select(["desired_revision", "reported_revision"])
          .where("id", "=", nodeId)
          .executeTakeFirst();
        const [upTo] = newest;
        if (upTo === undefined || node === undefined) return;
        const forgotten = await tx
          .deleteFrom("revision")
          .where("node_id", "=", nodeId)
          .where("revision", "<=", upTo.revision)
          .where("created_at", "<", before)
          .where("revision", "not in", [node.desired_revision, node.reported_revision, applied?.revision ?? 0])
          .returning("digest")
          .execute();
        const digests = [...new Set(forgotten.map(({ digest }) => digest))];
        for (let next = 0; next < digests.length; next += rowsAtOnce)
          await tx
            .deleteFrom("config_blob")
            .where("digest", "in", digests.slice(next, next + rowsAtOnce))
            .where(sql<boolean>`not exists (select 1 from revision where revision.digest = config_blob.digest)`)
            .execute();
      }),
  };
}

const rowsAtOnce = 500;

const tables = {
  sessions: { table: "session_event", time: "occurred_at" },
  quarantine: { table: "quarantined_entry", time: "received_at" },
  gaps: { table: "node_stream_gap", time: "noted_at" },
  audit: { table: "audit", time: "at" },
} as const satisfies Readonly<Record<History, { table: keyof CoreSchema; time: string }>>;
