import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { DatabaseClosed } from "../../../src/platform/storage/errors.ts";
import type { StorageUnderTest } from "./under-test.ts";

/** A database closes behind what is running. */
export function describeClosing(storage: StorageUnderTest): void {
  const { open, insert, ids } = storage;
  describe("closing", () => {
    test("waits for what is running and refuses what comes later", async () => {
      const running = storage.database.transaction(async (tx) => {
        await insert(1, {}, tx);
        await setTimeout(30);
        await insert(2, {}, tx);
      });
      await setTimeout(10);
      const closing = storage.database.close();
      await expect(insert(3)).rejects.toThrow(DatabaseClosed);
      await expect(storage.database.events.publish("users", "")).rejects.toThrow(DatabaseClosed);
      expect(() => storage.database.events.subscribe("users", { event() {}, resync() {} })).toThrow(DatabaseClosed);
      await expect(storage.database.transaction(async () => undefined)).rejects.toThrow(DatabaseClosed);
      await running;
      await closing;
      await storage.database.close();
      const again = await open();
      expect(await ids(again.db)).toEqual([1, 2]);
    });
  });
}
