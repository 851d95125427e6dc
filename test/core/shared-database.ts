import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { migrations } from "../../src/core/store/migrations.ts";
import { type CoreSchema, int64Columns } from "../../src/core/store/schema.ts";
import { type Database, type DatabaseLocation, openDatabase } from "../../src/platform/storage/database.ts";
import { startPostgres } from "../postgres.ts";

/** The engines that everything of Core runs on. */
export const engines = ["sqlite", "postgres"] as const;
/** One of {@link engines}. */
export type Engine = (typeof engines)[number];

/** A place for Core's data, which any number of replicas may share. */
export interface SharedDatabase {
  readonly location: DatabaseLocation;
  /** Opens it, as one more replica does. */
  open(): Promise<Database<CoreSchema>>;
  /** Closes all that were opened, and removes everything. */
  close(): Promise<void>;
}

/** Makes an empty database of an engine. */
export async function shareDatabase(engine: Engine): Promise<SharedDatabase> {
  const { location, remove } = await (engine === "sqlite" ? sqliteFile() : postgresServer());
  const opened: Database<CoreSchema>[] = [];
  return {
    location,
    async open() {
      const database = await openDatabase<CoreSchema>({ ...location, migrations, int64: int64Columns });
      opened.push(database);
      return database;
    },
    async close() {
      for (const database of opened) await database.close();
      await remove();
    },
  };
}

/** Removes all rows of tables, and what hangs on them. */
export async function emptyTables({ db }: Database<CoreSchema>, ...tables: (keyof CoreSchema)[]): Promise<void> {
  for (const table of tables) await db.deleteFrom(table).execute();
}

interface Place {
  readonly location: DatabaseLocation;
  remove(): Promise<void>;
}

async function sqliteFile(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), "garrison-core-"));
  return { location: { file: join(directory, "core.db") }, remove: () => rm(directory, { recursive: true }) };
}

async function postgresServer(): Promise<Place> {
  const server = await startPostgres();
  return { location: { url: await server.createDatabase() }, remove: () => server.stop() };
}
