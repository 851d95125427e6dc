import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { DatabaseNewer, MigrationChanged, MigrationFailed } from "../../../src/platform/storage/errors.ts";
import type { Migration } from "../../../src/platform/storage/migrations.ts";

import { startInProcess } from "../start-in-process.ts";
import { migrations } from "./schema.ts";
import type { StorageUnderTest } from "./under-test.ts";

/** Migrations are applied once, in order, whole or not at all. */
export function describeMigrations(storage: StorageUnderTest): void {
  const { open, insert, ids } = storage;
  describe("migrations", () => {
    const third: Migration = { name: "0003-labels", sql: "create table label (id integer primary key)" };
    const applied = async () =>
      (await sql<{ name: string }>`select name from garrison_migrations order by position`.execute(storage.database.db))
        .rows;

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
        await expect(sql`select * from ${sql.table(table)}`.execute(storage.database.db)).rejects.toThrow(table);
      }
      expect(await applied()).toHaveLength(2);
      await open({ migrations: [...migrations, third, { ...broken, sql: "create table half (id integer)" }] });
    });

    test("may not end the transaction that they are executed in", async () => {
      const escaping: Migration = { name: "0003-escape", sql: "create table escaped (id integer); commit;" };
      await expect(open({ migrations: [...migrations, escaping] })).rejects.toThrow(MigrationFailed);
    });

    test("of processes that start at the same time are applied by one of them", async () => {
      const rival = storage.createLocation();
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
}
