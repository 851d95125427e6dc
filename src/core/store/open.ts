import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { type Database, openDatabase } from "../../platform/storage/database.ts";
import type { StorageLog } from "../../platform/storage/subscribers.ts";
import { migrations } from "./migrations.ts";
import { makeMissingKeys } from "./missing-keys.ts";
import { type CoreSchema, int64Columns } from "./schema.ts";

/** Options of {@link openCoreDatabase}. */
export interface CoreDatabaseOptions {
  /** The PostgreSQL database, of which Core takes the schema `core`. Undefined: SQLite. */
  url: string | undefined;
  /** Core's own directory, which exists: the SQLite file is in it. */
  dataDir: string;
  log: StorageLog;
}

/** Opens Core's database and migrates it. Throws as `openDatabase` does. */
export async function openCoreDatabase({ url, dataDir, log }: CoreDatabaseOptions): Promise<Database<CoreSchema>> {
  const location = url === undefined ? { file: join(dataDir, "core.db") } : { url };
  // Reports of usage are large, and nodes that only say that they are there do not wait for them.
  const database = await openDatabase<CoreSchema>({
    ...location,
    schema: "core",
    migrations,
    int64: int64Columns,
    ownThread: true,
    log,
  });
  try {
    await makeMissingKeys(database, randomBytes);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}
