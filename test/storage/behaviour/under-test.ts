import { afterEach, beforeEach } from "vitest";
import { type Database, type DatabaseLocation, openDatabase } from "../../../src/platform/storage/database.ts";
import type { StorageOptions } from "../../../src/platform/storage/options.ts";
import { int64, migrations, type Schema } from "./schema.ts";

/** Where a test keeps its tables. */
export type TestLocation = DatabaseLocation & Pick<StorageOptions, "schema" | "ownThread">;

/** The database of the running test, and what tests do with one. */
export interface StorageUnderTest {
  readonly engine: "sqlite" | "postgres";
  /** New for each test. */
  readonly database: Database<Schema>;
  readonly location: TestLocation;
  /** A place for another database. */
  createLocation(): TestLocation;
  /** Opens the database of the test once more; it closes with the test. */
  open(options?: Partial<StorageOptions>): Promise<Database<Schema>>;
  /** An account, as it is inserted. */
  account(id: number, more?: Partial<Schema["account"]>): Schema["account"];
  insert(id: number, more?: Partial<Schema["account"]>, db?: Database<Schema>["db"]): Promise<unknown>;
  /** Of all accounts, in order. */
  ids(db?: Database<Schema>["db"]): Promise<number[]>;
}

/** Makes a database for each test of the suite. */
export function storageUnderTest(engine: "sqlite" | "postgres", createLocation: () => TestLocation): StorageUnderTest {
  let location: TestLocation;
  let database: Database<Schema>;
  const opened: Database<Schema>[] = [];
  const open = async (options: Partial<StorageOptions> = {}) => {
    const another = await openDatabase<Schema>({ ...location, migrations, int64, ...options });
    opened.push(another);
    return another;
  };
  const account = (id: number, more: Partial<Schema["account"]> = {}) => ({
    id,
    tenant: 1,
    name: `name${id}`,
    used_bytes: 0n,
    note: null,
    active: 1 as const,
    ...more,
  });

  beforeEach(async () => {
    location = createLocation();
    database = await open();
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close()));
  });

  return {
    engine,
    get database() {
      return database;
    },
    get location() {
      return location;
    },
    createLocation,
    open,
    account,
    insert: (id, more = {}, db = database.db) => db.insertInto("account").values(account(id, more)).execute(),
    ids: async (db = database.db) =>
      (await db.selectFrom("account").select("id").orderBy("id").execute()).map(({ id }) => id),
  };
}
