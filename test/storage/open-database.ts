// Opens the database that its parent names when it is told to, counts the migrations, and says what came of it.
import { sql } from "kysely";
import { type DatabaseLocation, openDatabase } from "../../src/platform/storage/database.ts";
import type { Migration } from "../../src/platform/storage/migrations.ts";

const engines = [
  import("../../src/platform/storage/sqlite/open.ts"),
  import("../../src/platform/storage/postgres/open.ts"),
];
const answer = (outcome: string) => process.send?.(outcome, undefined, undefined, () => process.disconnect?.());

process.once("message", async ({ location, migrations }: { location: DatabaseLocation; migrations: Migration[] }) => {
  try {
    const database = await openDatabase({ ...location, migrations });
    const { rows } = await sql`select * from garrison_migrations`.execute(database.db);
    await database.close();
    answer(`opened ${rows.length} migrations`);
  } catch (error) {
    answer(String(error));
  }
});

await Promise.all(engines);
process.send?.("ready");
