import { sql } from "kysely";
import type { Database } from "../../../platform/storage/database.ts";
import type { Resolution, RetentionStore } from "../../domain/usage/retention.ts";
import type { CoreSchema } from "../schema.ts";
import { nodesWithUsage } from "./index-steps.ts";
import { added } from "./saturating.ts";

/** Rolls up usage in Core's database. */
export function createRetentionStore(database: Database<CoreSchema>): RetentionStore {
  const { db } = database;
  const oldest = database.prepare(
    (build, { nodeId, coarse, from, before }: { nodeId: number; coarse: number; from: number; before: number }) =>
      build
        .selectFrom("usage_minute")
        .select("minute")
        .where("node_id", "=", nodeId)
        .where("minute", ">=", from)
        .where("minute", "<", before)
        .where("coarse", "=", coarse)
        .orderBy("minute")
        .limit(1),
  );
  return {
    async nodes() {
      const { rows } = await sql<{ id: number }>`select id from ${nodesWithUsage} as used order by id`.execute(db);
      return rows.map(({ id }) => id);
    },
    async oldest(nodeId, resolution, from, before) {
      const row = await oldest.first({ nodeId, coarse: coarseOf[resolution], from, before });
      return row?.minute;
    },
    // Serializable: nothing that comes in between may be deleted without having been added.
    rollUp: (nodeId, time, resolution) =>
      database.transaction(async (tx) => {
        const stepMs = stepOf[resolution];
        const begins = time - (time % stepMs);
        const coarse = coarseOf[resolution];
        const isOld = sql<boolean>`node_id = ${nodeId} and minute = ${time} and coarse = ${coarse}`;
        if (time === begins) {
          await tx
            .updateTable("usage_minute")
            .set({ coarse: coarse + 1 })
            .where(isOld)
            .execute();
          return;
        }
        await sql`
          insert into usage_minute (
            minute, node_id, node_protocol_id, account_id, subscription_id, link_uuid, bytes_up, bytes_down, late,
            coarse
          )
          select
            ${sql.lit(begins)}, node_id, node_protocol_id, account_id, subscription_id, link_uuid, bytes_up, bytes_down,
            late, ${sql.lit(coarse + 1)}
          from usage_minute where ${isOld}
          on conflict (node_id, minute, node_protocol_id, account_id, subscription_id, link_uuid) do update set
            bytes_up = ${sql.raw(added("usage_minute.bytes_up", "excluded.bytes_up"))},
            bytes_down = ${sql.raw(added("usage_minute.bytes_down", "excluded.bytes_down"))},
            late = case when usage_minute.late > excluded.late then usage_minute.late else excluded.late end,
            coarse = excluded.coarse`.execute(tx);
        await tx.deleteFrom("usage_minute").where(isOld).execute();
      }),
    async forgetStreams(before) {
      await db.deleteFrom("node_stream").where("updated_at", "<", before).execute();
    },
  };
}

const coarseOf: Readonly<Record<Resolution, number>> = { minute: 0, hour: 1 };
const stepOf: Readonly<Record<Resolution, number>> = { minute: 60 * 60 * 1000, hour: 24 * 60 * 60 * 1000 };
