import { describe, expect, test } from "vitest";
import { prepareBulk } from "../../../src/platform/storage/bulk.ts";
import { UniqueViolation } from "../../../src/platform/storage/errors.ts";
import type { Schema } from "./schema.ts";
import type { StorageUnderTest } from "./under-test.ts";

/** Statements over many rows of values. */
export function describeBulk(storage: StorageUnderTest): void {
  const { ids } = storage;
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
    const stored = () =>
      storage.database.db.selectFrom("account").select(["id", "name", "used_bytes"]).orderBy("id").execute();

    test.each([0, 1, 7, 8, 63, 64, 65, 1_000])("write each of %d rows once, and then add to it", async (count) => {
      const { use } = bulk();
      const write = () =>
        storage.database.transaction((tx) =>
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

    test.each([
      ["all rows", () => 7],
      ["all rows but one", (id: number) => (id === 70 ? 8 : 7)],
    ])("write what %s have in common", async (_, more) => {
      const use = prepareBulk<Schema>({
        columns: { tenant: "integer", id: "integer", name: "text", more: "integer" },
        alike: ["tenant", "more"],
        text: (rows) => `
          insert into account (id, tenant, name, used_bytes) select v.id, v.tenant, v.name, v.more from ${rows} where true
          on conflict (id) do update set used_bytes = account.used_bytes + excluded.used_bytes`,
      });
      const values = flat(75, (id) => [true, id, `n${id}`, more(id)]);
      for (let times = 0; times < 2; times += 1) {
        expect(await storage.database.transaction((tx) => use.run(values, tx))).toBe(75);
      }
      const expected = Array.from({ length: 75 }, (_, id) => ({
        id,
        name: `n${id}`,
        used_bytes: BigInt(2 * more(id)),
      }));
      expect(await stored()).toEqual(expected);
    });

    test("find rows by values, and take texts as they are, and null", async () => {
      const { use, missing } = bulk();
      const texts = ['"', "\\", "{a,b}", "NULL", "ä\n\t🙂", "'", ", "];
      const more = 2n ** 62n;
      const found = await storage.database.transaction(async (tx) => {
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
      const failing = storage.database.transaction((tx) => {
        turns = 0;
        return use.run(rows, tx);
      });
      await expect(failing.finally(() => clearImmediate(ticking))).rejects.toThrow(UniqueViolation);
      expect(turns).toBeGreaterThan(1);
      expect(await ids()).toEqual([]);
    });

    test("take whole rows only", async () => {
      const { use } = bulk();
      await expect(storage.database.transaction((tx) => use.run([1, "a"], tx))).rejects.toThrow("whole rows");
    });
  });
}
