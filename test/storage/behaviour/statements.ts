import { describe, expect, test } from "vitest";
import { TransactionMisuse, UniqueViolation } from "../../../src/platform/storage/errors.ts";
import type { StorageUnderTest } from "./under-test.ts";

/** Prepared statements. */
export function describeStatements(storage: StorageUnderTest): void {
  const { account, ids } = storage;
  describe("prepared statements", () => {
    const prepare = () => ({
      add: storage.database.prepare((db, args: { id: number; name: string; used: bigint }) =>
        db.insertInto("account").values({ ...account(0), id: args.id, name: args.name, used_bytes: args.used }),
      ),
      find: storage.database.prepare((db, args: { least: bigint; count: number }) =>
        db
          .selectFrom("account")
          .select(["id", "used_bytes"])
          .where("used_bytes", ">=", args.least)
          .where("active", "=", 1)
          .orderBy("id")
          .limit(args.count),
      ),
      use: storage.database.prepare((db, args: { id: number; more: bigint }) =>
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
        storage.database.prepare((db, args: { id: number }) =>
          db.insertInto("account").values({ ...account(0), ...args }),
        );
      expect(spread).toThrow("name each of them");
    });

    test("belong to the transaction that they are given", async () => {
      const { add } = prepare();
      const failing = storage.database.transaction(async (tx) => {
        await add.run({ id: 1, name: "a", used: 0n }, tx);
        await add.run({ id: 1, name: "a", used: 0n }, tx);
      });
      await expect(failing).rejects.toThrow(UniqueViolation);
      await expect(storage.database.transaction(async () => add.run({ id: 2, name: "b", used: 0n }))).rejects.toThrow(
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
      const changed = await storage.database.transaction((tx) => {
        turns = 0;
        return add.runMany(rows, tx).finally(() => clearImmediate(ticking));
      });
      expect(changed).toBe(5_000);
      expect(turns).toBeGreaterThan(1);
      const increments = rows.map(({ id }) => ({ id: id % 10, more: BigInt(id) }));
      expect(await storage.database.transaction((tx) => use.runMany(increments, tx))).toBe(5_000);
      const { total } = await storage.database.db
        .selectFrom("account")
        .select(({ fn }) => fn.sum<number>("used_bytes").as("total"))
        .executeTakeFirstOrThrow();
      expect(total).toBe(5_000 + (4_999 * 5_000) / 2);
    });

    test("for many rows fail as one, and say which failure came first", async () => {
      const { add } = prepare();
      const rows = Array.from({ length: 1_000 }, (_, index) => ({ id: index, name: `n${index % 700}`, used: 0n }));
      await expect(storage.database.transaction((tx) => add.runMany(rows, tx))).rejects.toMatchObject({
        name: "UniqueViolation",
        columns: ["tenant", "name"],
      });
      expect(await ids()).toEqual([]);
      expect(await add.run({ id: 1, name: "n1", used: 0n })).toBe(1);
    });
  });
}
