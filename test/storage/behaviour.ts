import { fork } from "node:child_process";
import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { sql } from "kysely";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { prepareBulk } from "../../src/platform/storage/bulk.ts";
import { type Database, type DatabaseLocation, openDatabase } from "../../src/platform/storage/database.ts";
import {
  ConstraintViolation,
  DatabaseBusy,
  DatabaseClosed,
  DatabaseNewer,
  ForeignKeyViolation,
  IntegerOutOfRange,
  MigrationChanged,
  MigrationFailed,
  TransactionAborted,
  TransactionMisuse,
  UniqueViolation,
} from "../../src/platform/storage/errors.ts";
import type { Migration } from "../../src/platform/storage/migrations.ts";
import type { StorageOptions } from "../../src/platform/storage/options.ts";

/** The tables of the suite. */
export interface Schema {
  account: { id: number; tenant: number; name: string; used_bytes: bigint; note: string | null; active: 0 | 1 };
  session: { id: number; account_id: number; key: Uint8Array; score: number | null };
}

export const migrations: readonly Migration[] = [
  {
    name: "0001-accounts",
    sql: `
      create table account (
        id integer primary key,
        tenant integer not null,
        name text not null check (name <> ''),
        used_bytes bigint not null default 0,
        note text,
        active integer not null default 1,
        unique (tenant, name)
      );
      create index account_name on account (name);`,
  },
  {
    name: "0002-sessions",
    sql: {
      sqlite: `create table session (
        id integer primary key, account_id integer not null references account (id), key blob not null, score real
      ) strict`,
      postgres: `create table session (
        id integer primary key, account_id integer not null references account (id), key bytea not null,
        score double precision
      )`,
    },
  },
];

const int64 = ["used_bytes"];

/** Where a test keeps its tables. */
export type TestLocation = DatabaseLocation & Pick<StorageOptions, "schema">;

/** What every store of Garrison may rely on, whichever engine it runs on. */
export function describeStorage(engine: "sqlite" | "postgres", createLocation: () => TestLocation): void {
  let location: TestLocation;
  let database: Database<Schema>;
  const others: Database<Schema>[] = [];
  const open = async (options: Partial<StorageOptions> = {}) => {
    const opened = await openDatabase<Schema>({ ...location, migrations, int64, ...options });
    others.push(opened);
    return opened;
  };

  beforeEach(async () => {
    location = createLocation();
    database = await open();
  });
  afterEach(async () => {
    await Promise.all(others.splice(0).map((opened) => opened.close()));
  });

  const account = (id: number, more: Partial<Schema["account"]> = {}) => ({
    id,
    tenant: 1,
    name: `name${id}`,
    used_bytes: 0n,
    note: null,
    active: 1 as const,
    ...more,
  });
  const insert = (id: number, more: Partial<Schema["account"]> = {}, db = database.db) =>
    db.insertInto("account").values(account(id, more)).execute();
  const ids = async (db = database.db) =>
    (await db.selectFrom("account").select("id").orderBy("id").execute()).map(({ id }) => id);

  describe("values", () => {
    test("come back as they were written", async () => {
      const key = new Uint8Array([0, 255, 7]);
      await insert(1, { name: "naïve ☂ 'quoted'", note: "", used_bytes: 12n });
      await database.db.insertInto("session").values({ id: 9, account_id: 1, key, score: 0.1 }).execute();
      expect(await database.db.selectFrom("account").selectAll().execute()).toEqual([
        account(1, { name: "naïve ☂ 'quoted'", note: "", used_bytes: 12n }),
      ]);
      expect(await database.db.selectFrom("session").selectAll().execute()).toEqual([
        { id: 9, account_id: 1, key, score: 0.1 },
      ]);
    });

    test.each([0n, 1n, 9_007_199_254_740_991n, 9_007_199_254_740_993n, 9_223_372_036_854_775_807n, -1n])(
      "an int64 column holds %d exactly, as bigint",
      async (used_bytes) => {
        await insert(1, { used_bytes });
        const rows = await database.db.selectFrom("account").select(["id", "used_bytes"]).execute();
        expect(rows).toEqual([{ id: 1, used_bytes }]);
      },
    );

    test("an aggregate that has the name of an int64 column is bigint as well", async () => {
      await insert(1, { used_bytes: 9_007_199_254_740_993n });
      await insert(2, { used_bytes: 2n });
      const row = await database.db
        .selectFrom("account")
        .select(({ fn }) => [fn.sum("used_bytes").as("used_bytes"), fn.countAll().as("count"), fn.max("id").as("last")])
        .executeTakeFirstOrThrow();
      expect(row).toEqual({ used_bytes: 9_007_199_254_740_995n, count: 2, last: 2 });
    });

    test("an integer beyond 2^53 under any other name is an error, not a rounded number", async () => {
      await insert(1, { used_bytes: 9_007_199_254_740_993n });
      const query = database.db.selectFrom("account").select("used_bytes as total");
      await expect(query.execute()).rejects.toThrow(IntegerOutOfRange);
    });

    test("booleans are written as 0 and 1, and integers stay integers in expressions", async () => {
      await sql`insert into account (id, tenant, name, active) values (${1}, ${1}, ${"a"}, ${false})`.execute(
        database.db,
      );
      const { rows } = await sql`select active, ${7} / cast(${2} as integer) as half from account`.execute(database.db);
      expect(rows).toEqual([{ active: 0, half: 3 }]);
      const exists = await sql`select exists (select 1 from account) as found`.execute(database.db);
      expect(exists.rows[0]?.["found" as never]).toBe(1);
    });

    test("changed rows are counted, with and without returning", async () => {
      await insert(1);
      await insert(2);
      const updated = await database.db.updateTable("account").set({ note: "x" }).executeTakeFirstOrThrow();
      expect(updated.numUpdatedRows).toBe(2n);
      const deleted = await database.db.deleteFrom("account").where("id", "=", 2).returning("name").execute();
      expect(deleted).toEqual([{ name: "name2" }]);
      const missed = await database.db.deleteFrom("account").where("id", "=", 7).executeTakeFirstOrThrow();
      expect(missed.numDeletedRows).toBe(0n);
    });

    test("streaming rows is refused instead of half working", async () => {
      const stream = database.db.selectFrom("account").selectAll().stream();
      await expect(stream.next()).rejects.toThrow("page through them by key");
    });
  });

  describe("violations", () => {
    test("of a unique key name table and columns, and no value", async () => {
      await insert(1, { name: "secret@example.org" });
      const error = await insert(2, { name: "secret@example.org" }).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UniqueViolation);
      expect(error).toMatchObject({ table: "account", columns: ["tenant", "name"] });
      expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("secret");
    });

    test("of a primary key are unique violations", async () => {
      await insert(1);
      await expect(insert(1, { name: "other" })).rejects.toMatchObject({ table: "account", columns: ["id"] });
    });

    test("of a foreign key are found both ways", async () => {
      const key = new Uint8Array();
      const orphan = database.db.insertInto("session").values({ id: 1, account_id: 5, key, score: null });
      await expect(orphan.execute()).rejects.toThrow(ForeignKeyViolation);
      await insert(5);
      await orphan.execute();
      await expect(database.db.deleteFrom("account").execute()).rejects.toThrow(ForeignKeyViolation);
    });

    test("of checks and absent values are constraint violations", async () => {
      await expect(insert(1, { name: "" })).rejects.toThrow(ConstraintViolation);
      const noName = sql`insert into account (id, tenant) values (1, 1)`.execute(database.db);
      await expect(noName).rejects.toThrow(ConstraintViolation);
      expect(await ids()).toEqual([]);
    });
  });

  describe("transactions", () => {
    test("are committed when the body returns, and give its result", async () => {
      const result = await database.transaction(async (tx) => {
        await insert(1, {}, tx);
        return "done";
      });
      expect(result).toBe("done");
      expect(await ids()).toEqual([1]);
    });

    test("are rolled back when the body throws, which it may do for its own reasons", async () => {
      const reason = new RangeError("enough");
      const failing = database.transaction(async (tx) => {
        await insert(1, {}, tx);
        throw reason;
      });
      await expect(failing).rejects.toBe(reason);
      expect(await ids()).toEqual([]);
      await insert(2);
      expect(await ids()).toEqual([2]);
    });

    test("do not mix with statements and transactions that run at the same time", async () => {
      const failing = database.transaction(async (tx) => {
        for (let id = 0; id < 20; id++) {
          await insert(id, {}, tx);
          await setTimeout(1);
        }
        throw new Error("roll back");
      });
      const rolledBack = expect(failing).rejects.toThrow("roll back");
      const outside = Array.from({ length: 20 }, async (_, index) => {
        await setTimeout(index);
        await insert(100 + index);
      });
      const inside = Array.from({ length: 5 }, (_, index) =>
        database.transaction(async (tx) => {
          await insert(200 + 2 * index, {}, tx);
          await setTimeout(2);
          await insert(201 + 2 * index, {}, tx);
        }),
      );
      await Promise.all([rolledBack, ...outside, ...inside]);
      // Were they to share a transaction, rows of others would have gone with the one that was rolled back.
      const expected = [
        ...Array(20)
          .keys()
          .map((id) => 100 + id),
        ...Array(10)
          .keys()
          .map((id) => 200 + id),
      ];
      expect(await ids()).toEqual(expected);
    });

    test("are not seen by others before they are committed", async () => {
      const seen: number[][] = [];
      const other = await open();
      await database.transaction(async (tx) => {
        await insert(1, {}, tx);
        seen.push(await ids(other.db), await ids(tx));
      });
      seen.push(await ids(other.db));
      expect(seen).toEqual([[], [1], [1]]);
    });

    test("lose no update, however many read and write the same row", async () => {
      await insert(1);
      const other = await open();
      const add = (db: Database<Schema>) =>
        db.transaction(async (tx) => {
          const { used_bytes } = await tx.selectFrom("account").select("used_bytes").executeTakeFirstOrThrow();
          await setTimeout(1);
          await tx
            .updateTable("account")
            .set({ used_bytes: used_bytes + 1n })
            .execute();
        });
      await Promise.all(Array.from({ length: 30 }, (_, index) => add(index % 2 === 0 ? database : other)));
      const row = await database.db.selectFrom("account").select("used_bytes").executeTakeFirstOrThrow();
      expect(row.used_bytes).toBe(30n);
    });

    test("that each depend on what the other writes are not both committed", async () => {
      await insert(1);
      await insert(2);
      const other = await open();
      // Each may switch one account off as long as two are on.
      const switchOff = (db: Database<Schema>, id: number) =>
        db.transaction(async (tx) => {
          const on = await tx.selectFrom("account").select("id").where("active", "=", 1).execute();
          await setTimeout(5);
          if (on.length > 1) {
            await tx.updateTable("account").set({ active: 0 }).where("id", "=", id).execute();
          }
        });
      await Promise.all([switchOff(database, 1), switchOff(other, 2)]);
      const on = await database.db.selectFrom("account").select("id").where("active", "=", 1).execute();
      expect(on).toHaveLength(1);
    });

    test("that take two rows in opposite order both succeed", async () => {
      await insert(1);
      await insert(2);
      const other = await open();
      const swap = (db: Database<Schema>, first: number, second: number) =>
        db.transaction(
          async (tx) => {
            for (const id of [first, second]) {
              await tx
                .updateTable("account")
                .set({ note: `${first}${second}` })
                .where("id", "=", id)
                .execute();
              await setTimeout(20);
            }
          },
          { isolation: "read committed" },
        );
      await Promise.all([swap(database, 1, 2), swap(other, 2, 1)]);
      const notes = await database.db.selectFrom("account").select("note").distinct().execute();
      expect(notes).toHaveLength(1);
    });

    test("conflicts that do not end are reported as a busy database", async () => {
      await insert(1);
      const impatient = await open({ retryForMs: 60 });
      let tries = 0;
      const held = Promise.withResolvers<void>();
      const enough = Promise.withResolvers<void>();
      const holding = database.transaction(async (tx) => {
        await tx.updateTable("account").set({ note: "held" }).execute();
        held.resolve();
        await enough.promise;
      });
      await held.promise;
      const refused = impatient.transaction(async (tx) => {
        tries++;
        if (engine === "postgres") {
          await sql`set local lock_timeout = 20`.execute(tx);
        }
        await tx.updateTable("account").set({ note: "refused" }).execute();
      });
      await expect(refused).rejects.toThrow(DatabaseBusy);
      // SQLite refuses to begin, PostgreSQL to lock the row.
      expect(tries).toBe(engine === "sqlite" ? 0 : 1);
      enough.resolve();
      await holding;
    });

    test("may not use the database's own handle in their body, which would wait for itself", async () => {
      const misuse = database.transaction(async () => {
        await insert(1);
      });
      await expect(misuse).rejects.toThrow(TransactionMisuse);
      const nested = database.transaction(() => database.transaction(async () => undefined));
      await expect(nested).rejects.toThrow(TransactionMisuse);
      await insert(2);
      expect(await ids()).toEqual([2]);
    });

    test("their handle is dead when they have ended", async () => {
      const escaped = await database.transaction(async (tx) => tx);
      await expect(insert(1, {}, escaped)).rejects.toThrow();
      expect(await ids()).toEqual([]);
    });

    test("in which a statement failed cannot be committed, even when the body goes on", async () => {
      await insert(1);
      let second: unknown;
      const stubborn = database.transaction(async (tx) => {
        await insert(2, {}, tx);
        await insert(1, {}, tx).catch(() => undefined);
        second = await insert(3, {}, tx).catch((error: unknown) => error);
        return "as if nothing had happened";
      });
      const error = await stubborn.catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(TransactionAborted);
      expect(error).toMatchObject({ cause: { name: "UniqueViolation" } });
      expect(second).toBeInstanceOf(TransactionAborted);
      expect(await ids()).toEqual([1]);
    });

    test("throw what is found to be wrong only when they are committed", async () => {
      const deferred: Migration = {
        name: "0003-deferred",
        sql: `create table owner (id integer primary key);
          create table thing (owner_id integer references owner (id) deferrable initially deferred)`,
      };
      const { transaction, db } = await open({ migrations: [...migrations, deferred] });
      const add = (tx: typeof db) => sql`insert into thing values (1)`.execute(tx);
      await expect(transaction(add)).rejects.toThrow(ForeignKeyViolation);
      await transaction(async (tx) => {
        await add(tx);
        await sql`insert into owner values (1)`.execute(tx);
      });
      expect((await sql`select * from thing`.execute(db)).rows).toEqual([{ owner_id: 1 }]);
    });

    test("that only read see one state, and cannot write", async () => {
      await insert(1);
      const other = await open();
      const seen: number[][] = [];
      await database.transaction(
        async (tx) => {
          seen.push(await ids(tx));
          await insert(2, {}, other.db);
          seen.push(await ids(tx));
        },
        { readOnly: true },
      );
      expect(seen).toEqual([[1], [1]]);
      const writing = database.transaction((tx) => insert(3, {}, tx), { readOnly: true });
      await expect(writing).rejects.toThrow(/read-?only/i);
      await insert(4);
      expect(await ids()).toEqual([1, 2, 4]);
    });

    test("their statements may be sent without waiting for one another", async () => {
      await database.transaction(async (tx) => {
        await Promise.all([1, 2, 3, 4].map((id) => insert(id, {}, tx)));
      });
      expect(await ids()).toEqual([1, 2, 3, 4]);
    });
  });

  describe("prepared statements", () => {
    const prepare = () => ({
      add: database.prepare((db, args: { id: number; name: string; used: bigint }) =>
        db.insertInto("account").values({ ...account(0), id: args.id, name: args.name, used_bytes: args.used }),
      ),
      find: database.prepare((db, args: { least: bigint; count: number }) =>
        db
          .selectFrom("account")
          .select(["id", "used_bytes"])
          .where("used_bytes", ">=", args.least)
          .where("active", "=", 1)
          .orderBy("id")
          .limit(args.count),
      ),
      use: database.prepare((db, args: { id: number; more: bigint }) =>
        db
          .updateTable("account")
          .set(({ eb }) => ({ used_bytes: eb("used_bytes", "+", args.more) }))
          .where("id", "=", args.id),
      ),
    });

    test("are executed with new values each time", async () => {
      const { add, find, use } = prepare();
      for (const id of [1, 2, 3]) {
        expect(await add.run({ id, name: `n${id}`, used: BigInt(id) })).toBe(1);
      }
      expect(await find.all({ least: 2n, count: 10 })).toEqual([
        { id: 2, used_bytes: 2n },
        { id: 3, used_bytes: 3n },
      ]);
      expect(await find.first({ least: 1n, count: 1 })).toEqual({ id: 1, used_bytes: 1n });
      expect(await find.first({ least: 9n, count: 1 })).toBeUndefined();
      expect(await use.run({ id: 7, more: 1n })).toBe(0);
    });

    test("cannot be built from values whose names are not known", () => {
      const spread = () =>
        database.prepare((db, args: { id: number }) => db.insertInto("account").values({ ...account(0), ...args }));
      expect(spread).toThrow("name each of them");
    });

    test("belong to the transaction that they are given", async () => {
      const { add } = prepare();
      const failing = database.transaction(async (tx) => {
        await add.run({ id: 1, name: "a", used: 0n }, tx);
        await add.run({ id: 1, name: "a", used: 0n }, tx);
      });
      await expect(failing).rejects.toThrow(UniqueViolation);
      await expect(database.transaction(async () => add.run({ id: 2, name: "b", used: 0n }))).rejects.toThrow(
        TransactionMisuse,
      );
      expect(await ids()).toEqual([]);
    });

    test("are executed for many rows, in order, while others get their turn", async () => {
      const { add, use } = prepare();
      const rows = Array.from({ length: 5_000 }, (_, id) => ({ id, name: `n${id}`, used: 1n }));
      let turns = 0;
      let ticking = setImmediate(function tick() {
        turns++;
        ticking = setImmediate(tick);
      });
      const changed = await database.transaction((tx) => {
        turns = 0;
        return add.runMany(rows, tx).finally(() => clearImmediate(ticking));
      });
      expect(changed).toBe(5_000);
      expect(turns).toBeGreaterThan(1);
      const increments = rows.map(({ id }) => ({ id: id % 10, more: BigInt(id) }));
      expect(await database.transaction((tx) => use.runMany(increments, tx))).toBe(5_000);
      const { total } = await database.db
        .selectFrom("account")
        .select(({ fn }) => fn.sum<number>("used_bytes").as("total"))
        .executeTakeFirstOrThrow();
      expect(total).toBe(5_000 + (4_999 * 5_000) / 2);
    });

    test("for many rows fail as one, and say which failure came first", async () => {
      const { add } = prepare();
      const rows = Array.from({ length: 1_000 }, (_, index) => ({ id: index, name: `n${index % 700}`, used: 0n }));
      await expect(database.transaction((tx) => add.runMany(rows, tx))).rejects.toMatchObject({
        name: "UniqueViolation",
        columns: ["tenant", "name"],
      });
      expect(await ids()).toEqual([]);
      expect(await add.run({ id: 1, name: "n1", used: 0n })).toBe(1);
    });
  });

  describe("bulk statements", () => {
    const bulk = () => ({
      use: prepareBulk<Schema>({
        columns: { id: "integer", name: "text", more: "integer" },
        text: (rows) => `
          insert into account (id, tenant, name, used_bytes) select v.id, 1, v.name, v.more from ${rows} where true
          on conflict (id) do update set used_bytes = account.used_bytes + excluded.used_bytes, name = excluded.name`,
      }),
      missing: prepareBulk<Schema, { id: number; name: string | null }>({
        columns: { id: "integer", name: "text" },
        text: (rows) => `
          select v.id as id, v.name as name from ${rows} left join account on account.id = v.id
          where account.id is null or account.name is distinct from v.name`,
      }),
    });
    const flat = (count: number, row: (index: number) => unknown[]) =>
      Array.from({ length: count }, (_, index) => row(index)).flat();
    const stored = () => database.db.selectFrom("account").select(["id", "name", "used_bytes"]).orderBy("id").execute();

    test.each([0, 1, 7, 8, 63, 64, 65, 1_000])("write each of %d rows once, and then add to it", async (count) => {
      const { use } = bulk();
      const write = () =>
        database.transaction((tx) =>
          use.run(
            flat(count, (id) => [id, `n${id}`, BigInt(id)]),
            tx,
          ),
        );
      expect(await write()).toBe(count);
      expect(await write()).toBe(count);
      const expected = Array.from({ length: count }, (_, id) => ({ id, name: `n${id}`, used_bytes: 2n * BigInt(id) }));
      expect(await stored()).toEqual(expected);
    });

    test("find rows by values, and take texts as they are, and null", async () => {
      const { use, missing } = bulk();
      const texts = ['"', "\\", "{a,b}", "NULL", "ä\n\t🙂", "'", ", "];
      const more = 2n ** 62n;
      const found = await database.transaction(async (tx) => {
        await use.run(
          texts.flatMap((name, id) => [id, name, more]),
          tx,
        );
        return missing.all([...texts.flatMap((name, id) => [id, name]), 0, null, 99, ""], tx);
      });
      expect(found.toSorted((a, b) => a.id - b.id)).toEqual([
        { id: 0, name: null },
        { id: 99, name: "" },
      ]);
      expect(await stored()).toEqual(texts.map((name, id) => ({ id, name, used_bytes: more })));
    });

    test("let others have their turn, and fail as one", async () => {
      const { use } = bulk();
      let turns = 0;
      let ticking = setImmediate(function tick() {
        turns++;
        ticking = setImmediate(tick);
      });
      const rows = flat(20_000, (id) => [id, id === 19_000 ? "n3" : `n${id}`, 1]);
      const failing = database.transaction((tx) => {
        turns = 0;
        return use.run(rows, tx);
      });
      await expect(failing.finally(() => clearImmediate(ticking))).rejects.toThrow(UniqueViolation);
      expect(turns).toBeGreaterThan(1);
      expect(await ids()).toEqual([]);
    });

    test("take whole rows only", async () => {
      const { use } = bulk();
      await expect(database.transaction((tx) => use.run([1, "a"], tx))).rejects.toThrow("whole rows");
    });
  });

  describe("migrations", () => {
    const third: Migration = { name: "0003-labels", sql: "create table label (id integer primary key)" };
    const applied = async () =>
      (await sql<{ name: string }>`select name from garrison_migrations order by position`.execute(database.db)).rows;

    test("are applied once, and later ones when they come", async () => {
      await insert(1);
      const later = await open({ migrations: [...migrations, third] });
      await sql`insert into label values (1)`.execute(later.db);
      expect(await ids()).toEqual([1]);
      expect(await applied()).toEqual([{ name: "0001-accounts" }, { name: "0002-sessions" }, { name: "0003-labels" }]);
    });

    test("that this program does not know make it refuse the database", async () => {
      await open({ migrations: [...migrations, third] });
      const old = open();
      await expect(old).rejects.toThrow(DatabaseNewer);
      await expect(old).rejects.toMatchObject({ unknown: ["0003-labels"] });
    });

    test("that were changed after they were applied are refused by name", async () => {
      const [first, second] = migrations as [Migration, Migration];
      const changed = open({ migrations: [first, { ...second, sql: "create table other (id integer)" }] });
      await expect(changed).rejects.toThrow(MigrationChanged);
      await expect(changed).rejects.toMatchObject({ migration: "0002-sessions" });
      await expect(open({ migrations: [third, second] })).rejects.toMatchObject({ migration: "0001-accounts" });
    });

    test("that fail leave nothing behind, those before them in the same run included", async () => {
      const broken: Migration = {
        name: "0004-broken",
        sql: "create table half (id integer); insert into nowhere values (1);",
      };
      const opening = open({ migrations: [...migrations, third, broken] });
      await expect(opening).rejects.toThrow(MigrationFailed);
      await expect(opening).rejects.toMatchObject({ migration: "0004-broken" });
      for (const table of ["half", "label"]) {
        await expect(sql`select * from ${sql.table(table)}`.execute(database.db)).rejects.toThrow(table);
      }
      expect(await applied()).toHaveLength(2);
      await open({ migrations: [...migrations, third, { ...broken, sql: "create table half (id integer)" }] });
    });

    test("may not end the transaction that they are executed in", async () => {
      const escaping: Migration = { name: "0003-escape", sql: "create table escaped (id integer); commit;" };
      await expect(open({ migrations: [...migrations, escaping] })).rejects.toThrow(MigrationFailed);
    });

    test("of processes that start at the same time are applied by one of them", async () => {
      const rival = createLocation();
      // Would fail if it were executed twice, and takes long enough for the others to come.
      const twenty = Array.from({ length: 20 }, (_, index) => ({
        name: `${index}`,
        sql: `create table t${index} (id integer primary key); insert into t${index} values (1);`,
      }));
      const slow = {
        name: "slow",
        sql: {
          sqlite:
            "create table n as with recursive c (n) as (select 1 union all select n + 1 from c where n < 2000000) select max(n) from c",
          postgres: "select pg_sleep(0.5)",
        },
      };
      const processes = Array.from({ length: 4 }, () => startInProcess(rival, [...twenty, slow]));
      await Promise.all(processes.map(({ ready }) => ready));
      const outcomes = await Promise.all(processes.map(({ open: openNow }) => openNow()));
      expect(outcomes).toEqual(Array(4).fill("opened 21 migrations"));
    });
  });

  describe("events", () => {
    /** A subscriber that keeps what it was told. */
    const listen = (bus: Database<Schema>["events"], topic: string) => {
      const heard: (string | undefined)[] = [];
      const subscription = bus.subscribe(topic, {
        event: (payload) => heard.push(payload),
        resync: () => heard.push("(resync)"),
      });
      return { heard, subscription };
    };

    test("begin with a resync, and then come in order to all subscribers of their topic", async () => {
      const { heard } = listen(database.events, "users");
      const second = listen(database.events, "users");
      const other = listen(database.events, "nodes");
      await expect.poll(() => [heard, second.heard, other.heard]).toEqual(Array(3).fill(["(resync)"]));
      for (const payload of ["1", "", "two words", "☂"]) {
        await database.events.publish("users", payload);
      }
      await expect.poll(() => heard).toEqual(["(resync)", "1", "", "two words", "☂"]);
      await expect.poll(() => second.heard).toEqual(heard);
      expect(other.heard).toEqual(["(resync)"]);
    });

    test("of a transaction come when it commits, and never when it does not", async () => {
      const { heard } = listen(database.events, "users");
      await expect.poll(() => heard).toEqual(["(resync)"]);
      await database.transaction(async (tx) => {
        await insert(1, {}, tx);
        await database.events.publish("users", "committed", tx);
        await setTimeout(30);
        expect(heard).toEqual(["(resync)"]);
      });
      const failing = database.transaction(async (tx) => {
        await database.events.publish("users", "rolled back", tx);
        throw new Error("no");
      });
      await expect(failing).rejects.toThrow("no");
      await database.events.publish("users", "last");
      await expect.poll(() => heard).toEqual(["(resync)", "committed", "last"]);
    });

    test("published in a transaction without naming it are refused", async () => {
      await expect(database.transaction(() => database.events.publish("users", "x"))).rejects.toThrow(
        TransactionMisuse,
      );
    });

    test("with a payload that does not fit are delivered without it", async () => {
      const { heard } = listen(database.events, "users");
      await expect.poll(() => heard).toEqual(["(resync)"]);
      const longest = "x".repeat(7999 - "users ".length);
      await database.events.publish("users", longest);
      await database.events.publish("users", `${longest}x`);
      await database.events.publish("users", "☂".repeat(2_700));
      await expect.poll(() => heard).toEqual(["(resync)", longest, undefined, undefined]);
    });

    test("are not delivered to a subscription that was closed", async () => {
      const { heard, subscription } = listen(database.events, "users");
      const still = listen(database.events, "users");
      await expect.poll(() => still.heard).toEqual(["(resync)"]);
      subscription.close();
      subscription.close();
      await database.events.publish("users", "1");
      await expect.poll(() => still.heard).toEqual(["(resync)", "1"]);
      expect(heard).toEqual(["(resync)"]);
    });

    test("reach the others when one subscriber throws, which is logged", async () => {
      const logged: string[] = [];
      const logging = await open({ log: { warn: (_, message) => logged.push(message) } });
      logging.events.subscribe("users", {
        event() {
          throw new Error("careless");
        },
        resync: () => undefined,
      });
      const { heard } = listen(logging.events, "users");
      await expect.poll(() => heard).toEqual(["(resync)"]);
      await logging.events.publish("users", "1");
      await expect.poll(() => heard).toEqual(["(resync)", "1"]);
      expect(logged).toEqual(["a subscriber of the event bus failed"]);
    });

    test.each(["", "Users", "a b", "x".repeat(64)])("a topic cannot be called %j", async (topic) => {
      await expect(database.events.publish(topic, "")).rejects.toThrow(TypeError);
    });
  });

  describe("closing", () => {
    test("waits for what is running and refuses what comes later", async () => {
      const running = database.transaction(async (tx) => {
        await insert(1, {}, tx);
        await setTimeout(30);
        await insert(2, {}, tx);
      });
      await setTimeout(10);
      const closing = database.close();
      await expect(insert(3)).rejects.toThrow(DatabaseClosed);
      await expect(database.events.publish("users", "")).rejects.toThrow(DatabaseClosed);
      expect(() => database.events.subscribe("users", { event() {}, resync() {} })).toThrow(DatabaseClosed);
      await expect(database.transaction(async () => undefined)).rejects.toThrow(DatabaseClosed);
      await running;
      await closing;
      await database.close();
      const again = await open();
      expect(await ids(again.db)).toEqual([1, 2]);
    });
  });
}

/** A process that opens the database when it is told to, and says what came of it. */
export function startInProcess(location: TestLocation, wanted: readonly Migration[]) {
  const child = fork(new URL("./open-database.ts", import.meta.url), {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  onTestFinished(() => {
    child.kill("SIGKILL");
  });
  const ready = once(child, "message");
  return {
    ready,
    kill: () => child.kill("SIGKILL"),
    async open(): Promise<unknown> {
      await ready;
      const answered = once(child, "message");
      child.send({ location, migrations: wanted });
      const [outcome] = await answered;
      return outcome;
    },
  };
}
