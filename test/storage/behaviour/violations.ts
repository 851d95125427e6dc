import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { ConstraintViolation, ForeignKeyViolation, UniqueViolation } from "../../../src/platform/storage/errors.ts";
import type { StorageUnderTest } from "./under-test.ts";

/** What a rule of a table forbids is told as what it is. */
export function describeViolations(storage: StorageUnderTest): void {
  const { insert, ids } = storage;
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
      const orphan = storage.database.db.insertInto("session").values({ id: 1, account_id: 5, key, score: null });
      await expect(orphan.execute()).rejects.toThrow(ForeignKeyViolation);
      await insert(5);
      await orphan.execute();
      await expect(storage.database.db.deleteFrom("account").execute()).rejects.toThrow(ForeignKeyViolation);
    });

    test("of checks and absent values are constraint violations", async () => {
      await expect(insert(1, { name: "" })).rejects.toThrow(ConstraintViolation);
      const noName = sql`insert into account (id, tenant) values (1, 1)`.execute(storage.database.db);
      await expect(noName).rejects.toThrow(ConstraintViolation);
      expect(await ids()).toEqual([]);
    });
  });
}
