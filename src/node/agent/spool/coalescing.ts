import { sql } from "kysely";
import type { Database } from "../../../platform/storage/database.ts";
import type { SpoolSchema } from "./schema.ts";

const hourMs = 3_600_000;

/**
 * Adds minutes up to hours while the file is larger than it may be, the oldest first: bytes stay, and their minutes are
 * lost. The hour that goes on stays as it is. What has become hours is never dropped, so that the file may be larger.
 */
export function createCoalescing(
  { db, transaction }: Database<SpoolSchema>,
  now: () => number,
  maxBytes: number,
): () => Promise<void> {
  const usedBytes = async () => {
    const { rows } = await sql<{ bytes: number }>`
      select (pages.page_count - free.freelist_count) * size.page_size as bytes
      from pragma_page_count as pages, pragma_freelist_count as free, pragma_page_size as size`.execute(db);
    return rows[0]?.bytes ?? 0;
  };
  const oldestMinute = async (before: number) => {
    const row = await db
      .selectFrom("usage_bucket")
      .select((eb) => eb.fn.min("minute").as("minute"))
      .where("coarse", "=", 0)
      .where("minute", "<", before)
      .executeTakeFirst();
    return row?.minute ?? undefined;
  };
  return async () => {
    while ((await usedBytes()) > maxBytes) {
      const minute = await oldestMinute(startOfHour(now()));
      if (minute === undefined) return;
      const hour = startOfHour(minute);
      await transaction(async (tx) => {
        await sql`
          insert into usage_bucket
          select ${hour}, 1, node_protocol_id, link_uuid, user_id, subscription_id, sum(bytes_up), sum(bytes_down)
          from usage_bucket where minute >= ${hour} and minute < ${hour + hourMs} and coarse = 0
          group by node_protocol_id, link_uuid, user_id, subscription_id
          on conflict do update set
            bytes_up = bytes_up + excluded.bytes_up,
            bytes_down = bytes_down + excluded.bytes_down`.execute(tx);
        await tx
          .deleteFrom("usage_bucket")
          .where("minute", ">=", hour)
          .where("minute", "<", hour + hourMs)
          .where("coarse", "=", 0)
          .execute();
      });
    }
  };
}

function startOfHour(ms: number): number {
  return Math.floor(ms / hourMs) * hourMs;
}
