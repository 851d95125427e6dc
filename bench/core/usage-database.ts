import { sql } from "kysely";
import type { CoreSchema } from "../../src/core/store/schema.ts";
import type { Database } from "../../src/platform/storage/database.ts";
import { openBenchDatabase } from "./open-database.ts";
import { nodes, users } from "./usage-bodies.ts";

/** Makes a database of nodes with a protocol each, and users with a subscription each, with a quota that is far. */
export async function openFleet(place: string): Promise<Database<CoreSchema>> {
  const database = await openBenchDatabase(place);
  const isPostgres = database.engine === "postgres";
  const numbers = (count: number) =>
    isPostgres
      ? sql`(select n from generate_series(1, ${sql.lit(count)}) as series (n)) as numbers`
      : sql`(with recursive series (n) as (select 1 union all select n + 1 from series where n < ${sql.lit(count)})
          select n from series) as numbers`;
  const token = isPostgres ? sql`decode(md5('a' || n) || md5('b' || n), 'hex')` : sql`randomblob(32)`;
  await database.transaction(async (tx) => {
    for (const statement of [
      sql`insert into node (id, name, host, ip, created_at, enrolled_at)
        select n, 'node-' || n, '', '192.0.2.1', 1, 1 from ${numbers(nodes)}`,
      sql`insert into node_protocol (id, node_id, protocol, tag, port, settings, created_at)
        select n, n, 'vless', 'vless', 443, '{}', 1 from ${numbers(nodes)}`,
      sql`insert into account (id, name, created_at) select n, 'user-' || n, 1 from ${numbers(users)}`,
      sql`insert into subscription
          (id, account_id, created_at, token_hash, token_rotated_at, period_started_at, quota_bytes)
        select n, n, 1, ${token}, 1, 1, 100000000000000 from ${numbers(users)}`,
    ]) {
      await statement.execute(tx);
    }
  });
  if (isPostgres) await sql`analyze`.execute(database.db);
  return database;
}
