import { openBenchDatabase } from "./open-database.ts";

/** The bytes in a database's rows, in both directions. Throws when the counters of subscriptions say otherwise. */
export async function bookedBytes(database: string): Promise<bigint> {
  const { db, close } = await openBenchDatabase(database);
  try {
    const [rows, counters] = await Promise.all(
      (["usage_minute", "subscription"] as const).map((table) =>
        db
          .selectFrom(table)
          .select(({ fn }) => [
            fn.sum<bigint>("bytes_up").as("bytes_up"),
            fn.sum<bigint>("bytes_down").as("bytes_down"),
          ])
          .executeTakeFirstOrThrow(),
      ),
    );
    const total = (sums = { bytes_up: 0n, bytes_down: 0n }) => sums.bytes_up + sums.bytes_down;
    if (total(rows) !== total(counters)) throw new Error("rows and counters do not agree");
    return total(rows);
  } finally {
    await close();
  }
}
