import { setTimeout } from "node:timers/promises";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import type { Database } from "../../../src/platform/storage/database.ts";
import {
  DatabaseBusy,
  ForeignKeyViolation,
  TransactionAborted,
  TransactionMisuse,
} from "../../../src/platform/storage/errors.ts";
import type { Migration } from "../../../src/platform/storage/migrations.ts";
import { migrations, type Schema } from "./schema.ts";
import type { StorageUnderTest } from "./under-test.ts";

/** Transactions hold, whoever else works at the same time. */
export function describeTransactions(storage: StorageUnderTest): void {
  const { open, insert, ids } = storage;
  describe("transactions", () => {
    test("are committed when the body returns, and give its result", async () => {
      const result = await storage.database.transaction(async (tx) => {
        await insert(1, {}, tx);
        return "done";
      });
      expect(result).toBe("done");
      expect(await ids()).toEqual([1]);
    });

    test("are rolled back when the body throws, which it may do for its own reasons", async () => {
      const reason = new RangeError("enough");
      const failing = storage.database.transaction(async (tx) => {
        await insert(1, {}, tx);
        throw reason;
      });
      await expect(failing).rejects.toBe(reason);
      expect(await ids()).toEqual([]);
      await insert(2);
      expect(await ids()).toEqual([2]);
    });

    test("do not mix with statements and transactions that run at the same time", async () => {
      const failing = storage.database.transaction(async (tx) => {
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
        storage.database.transaction(async (tx) => {
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
      await storage.database.transaction(async (tx) => {
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
      await Promise.all(Array.from({ length: 30 }, (_, index) => add(index % 2 === 0 ? storage.database : other)));
      const row = await storage.database.db.selectFrom("account").select("used_bytes").executeTakeFirstOrThrow();
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
      await Promise.all([switchOff(storage.database, 1), switchOff(other, 2)]);
      const on = await storage.database.db.selectFrom("account").select("id").where("active", "=", 1).execute();
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
      await Promise.all([swap(storage.database, 1, 2), swap(other, 2, 1)]);
      const notes = await storage.database.db.selectFrom("account").select("note").distinct().execute();
      expect(notes).toHaveLength(1);
    });

    test("conflicts that do not end are reported as a busy database", async () => {
      await insert(1);
      const impatient = await open({ retryForMs: 60 });
      let tries = 0;
      const held = Promise.withResolvers<void>();
      const enough = Promise.withResolvers<void>();
      const holding = storage.database.transaction(async (tx) => {
        await tx.updateTable("account").set({ note: "held" }).execute();
        held.resolve();
        await enough.promise;
      });
      await held.promise;
      const refused = impatient.transaction(async (tx) => {
        tries++;
        if (storage.engine === "postgres") {
          await sql`set local lock_timeout = 20`.execute(tx);
        }
        await tx.updateTable("account").set({ note: "refused" }).execute();
      });
      await expect(refused).rejects.toThrow(DatabaseBusy);
      // SQLite refuses to begin, PostgreSQL to lock the row.
      expect(tries).toBe(storage.engine === "sqlite" ? 0 : 1);
      enough.resolve();
      await holding;
    });

    test("may not use the database's own handle in their body, which would wait for itself", async () => {
      const misuse = storage.database.transaction(async () => {
        await insert(1);
      });
      await expect(misuse).rejects.toThrow(TransactionMisuse);
      const nested = storage.database.transaction(() => storage.database.transaction(async () => undefined));
      await expect(nested).rejects.toThrow(TransactionMisuse);
      await insert(2);
      expect(await ids()).toEqual([2]);
    });

    test("their handle is dead when they have ended", async () => {
      const escaped = await storage.database.transaction(async (tx) => tx);
      await expect(insert(1, {}, escaped)).rejects.toThrow();
      expect(await ids()).toEqual([]);
    });

    test("in which a statement failed cannot be committed, even when the body goes on", async () => {
      await insert(1);
      let second: unknown;
      const stubborn = storage.database.transaction(async (tx) => {
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
      await storage.database.transaction(
        async (tx) => {
          seen.push(await ids(tx));
          await insert(2, {}, other.db);
          seen.push(await ids(tx));
        },
        { readOnly: true },
      );
      expect(seen).toEqual([[1], [1]]);
      const writing = storage.database.transaction((tx) => insert(3, {}, tx), { readOnly: true });
      await expect(writing).rejects.toThrow(/read-?only/i);
      await insert(4);
      expect(await ids()).toEqual([1, 2, 4]);
    });

    test("their statements may be sent without waiting for one another", async () => {
      await storage.database.transaction(async (tx) => {
        await Promise.all([1, 2, 3, 4].map((id) => insert(id, {}, tx)));
      });
      expect(await ids()).toEqual([1, 2, 3, 4]);
    });
  });
}
