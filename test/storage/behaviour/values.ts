import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { IntegerOutOfRange } from "../../../src/platform/storage/errors.ts";
import type { StorageUnderTest } from "./under-test.ts";

/** Values are stored and read as they were given. */
export function describeValues(storage: StorageUnderTest): void {
  const { account, insert } = storage;
  describe("values", () => {
    test("come back as they were written", async () => {
      const key = new Uint8Array([0, 255, 7]);
      await insert(1, { name: "naïve ☂ 'quoted'", note: "", used_bytes: 12n });
      await storage.database.db.insertInto("session").values({ id: 9, account_id: 1, key, score: 0.1 }).execute();
      expect(await storage.database.db.selectFrom("account").selectAll().execute()).toEqual([
        account(1, { name: "naïve ☂ 'quoted'", note: "", used_bytes: 12n }),
      ]);
      expect(await storage.database.db.selectFrom("session").selectAll().execute()).toEqual([
        { id: 9, account_id: 1, key, score: 0.1 },
      ]);
    });

    test.each([0n, 1n, 9_007_199_254_740_991n, 9_007_199_254_740_993n, 9_223_372_036_854_775_807n, -1n])(
      "an int64 column holds %d exactly, as bigint",
      async (used_bytes) => {
        await insert(1, { used_bytes });
        const rows = await storage.database.db.selectFrom("account").select(["id", "used_bytes"]).execute();
        expect(rows).toEqual([{ id: 1, used_bytes }]);
      },
    );

    test("an aggregate that has the name of an int64 column is bigint as well", async () => {
      await insert(1, { used_bytes: 9_007_199_254_740_993n });
      await insert(2, { used_bytes: 2n });
      const row = await storage.database.db
        .selectFrom("account")
        .select(({ fn }) => [fn.sum("used_bytes").as("used_bytes"), fn.countAll().as("count"), fn.max("id").as("last")])
        .executeTakeFirstOrThrow();
      expect(row).toEqual({ used_bytes: 9_007_199_254_740_995n, count: 2, last: 2 });
    });

    test("an integer beyond 2^53 under any other name is an error, not a rounded number", async () => {
      await insert(1, { used_bytes: 9_007_199_254_740_993n });
      const query = storage.database.db.selectFrom("account").select("used_bytes as total");
      await expect(query.execute()).rejects.toThrow(IntegerOutOfRange);
    });

    test("booleans are written as 0 and 1, and integers stay integers in expressions", async () => {
      await sql`insert into account (id, tenant, name, active) values (${1}, ${1}, ${"a"}, ${false})`.execute(
        storage.database.db,
      );
      const { rows } = await sql`select active, ${7} / cast(${2} as integer) as half from account`.execute(
        storage.database.db,
      );
      expect(rows).toEqual([{ active: 0, half: 3 }]);
      const exists = await sql`select exists (select 1 from account) as found`.execute(storage.database.db);
      expect(exists.rows[0]?.["found" as never]).toBe(1);
    });

    test("changed rows are counted, with and without returning", async () => {
      await insert(1);
      await insert(2);
      const updated = await storage.database.db.updateTable("account").set({ note: "x" }).executeTakeFirstOrThrow();
      expect(updated.numUpdatedRows).toBe(2n);
      const deleted = await storage.database.db.deleteFrom("account").where("id", "=", 2).returning("name").execute();
      expect(deleted).toEqual([{ name: "name2" }]);
      const missed = await storage.database.db.deleteFrom("account").where("id", "=", 7).executeTakeFirstOrThrow();
      expect(missed.numDeletedRows).toBe(0n);
    });

    test("streaming rows is refused instead of half working", async () => {
      const stream = storage.database.db.selectFrom("account").selectAll().stream();
      await expect(stream.next()).rejects.toThrow("page through them by key");
    });
  });
}
