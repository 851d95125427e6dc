import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { TransactionAborted, TransactionMisuse, UniqueViolation } from "../../../src/platform/storage/errors.ts";
import type { StorageUnderTest } from "./under-test.ts";

/** Transactions that may be committed together are each as if they were alone. */
export function describeGroupTransactions(storage: StorageUnderTest): void {
  const { open, insert, ids } = storage;
  const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

  describe("transactions in groups", () => {
    test("give their results, and are all committed", async () => {
      const results = numbers(40).map((id) =>
        storage.database.groupTransaction(async (tx) => {
          await insert(id, {}, tx);
          return id;
        }),
      );
      expect(await Promise.all(results)).toEqual(numbers(40));
      expect(await ids()).toEqual(numbers(40));
    });

    test("that fail say why, and take nothing of the others with them", async () => {
      const reason = new RangeError("enough");
      const outcomes = await Promise.allSettled(
        numbers(9).map((id) =>
          storage.database.groupTransaction(async (tx) => {
            await insert(id, {}, tx);
            await setTimeout(1);
            if (id % 3 === 1) throw reason;
            if (id % 3 === 2) await insert(id, {}, tx);
          }),
        ),
      );
      for (const [id, outcome] of outcomes.entries()) {
        if (id % 3 === 0) expect(outcome.status).toBe("fulfilled");
        else expect(outcome).toMatchObject({ reason: id % 3 === 1 ? reason : expect.any(UniqueViolation) });
      }
      expect(await ids()).toEqual([0, 3, 6]);
    });

    test("that hide that a statement has failed are not committed", async () => {
      const outcomes = await Promise.allSettled(
        numbers(4).map((id) =>
          storage.database.groupTransaction(async (tx) => {
            await insert(id, {}, tx);
            if (id % 2 === 1) await insert(id, {}, tx).catch(() => undefined);
          }),
        ),
      );
      expect(outcomes[1]).toMatchObject({ reason: expect.any(TransactionAborted) });
      expect(outcomes[3]).toMatchObject({ reason: expect.any(TransactionAborted) });
      expect(await ids()).toEqual([0, 2]);
    });

    test("do not mix with other transactions and statements", async () => {
      const failing = storage.database.transaction(async (tx) => {
        await insert(100, {}, tx);
        await setTimeout(5);
        throw new Error("roll back");
      });
      const inGroups = numbers(10).map((id) => storage.database.groupTransaction((tx) => insert(id, {}, tx)));
      const alone = numbers(10).map((id) => insert(10 + id));
      await expect(failing).rejects.toThrow("roll back");
      await Promise.all([...inGroups, ...alone]);
      expect(await ids()).toEqual(numbers(20));
    });

    test("are seen by others when they are committed, and are told of only then", async () => {
      const other = await open();
      const seen = await Promise.all(
        numbers(8).map(async (id) => {
          await storage.database.groupTransaction(async (tx) => {
            await insert(id, {}, tx);
            expect(await ids(other.db)).not.toContain(id);
          });
          return (await ids(other.db)).includes(id);
        }),
      );
      expect(seen).toEqual(Array(8).fill(true));
    });

    test("publish what they have to say once each, and nothing when they fail", async () => {
      const heard: (string | undefined)[] = [];
      storage.database.events.subscribe("users", {
        event: (payload) => heard.push(payload),
        resync: () => heard.push("(resync)"),
      });
      await expect.poll(() => heard).toEqual(["(resync)"]);
      await Promise.allSettled(
        numbers(6).map((id) =>
          storage.database.groupTransaction(async (tx) => {
            await storage.database.events.publish("users", `${id}`, tx);
            await insert(id, {}, tx);
            if (id % 3 === 1) throw new Error("no");
          }),
        ),
      );
      await storage.database.events.publish("users", "last");
      await expect.poll(() => heard).toContain("last");
      expect(heard.toSorted()).toEqual(["(resync)", "0", "2", "3", "5", "last"]);
    });

    test("cannot be begun inside of another", async () => {
      const nested = storage.database.transaction(() => storage.database.groupTransaction(async () => undefined));
      await expect(nested).rejects.toThrow(TransactionMisuse);
    });
  });
}
