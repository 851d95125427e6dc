import { migrations } from "../../src/core/store/migrations.ts";
import { type CoreSchema, int64Columns } from "../../src/core/store/schema.ts";
import { type Database, type DatabaseLocation, openDatabase } from "../../src/platform/storage/database.ts";

/** The database that an argument names: a PostgreSQL URL, or a file. */
export function locationOf(argument: string): DatabaseLocation {
  return argument.startsWith("postgres:") ? { url: argument } : { file: argument };
}

/** Opens the database that an argument names as Core opens its own: SQLite in a thread. */
export function openBenchDatabase(argument: string): Promise<Database<CoreSchema>> {
  return openDatabase<CoreSchema>({ ...locationOf(argument), migrations, int64: int64Columns, ownThread: true });
}
