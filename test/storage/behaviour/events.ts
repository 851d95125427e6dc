import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { Database } from "../../../src/platform/storage/database.ts";
import { TransactionMisuse } from "../../../src/platform/storage/errors.ts";
import type { Schema } from "./schema.ts";
import type { StorageUnderTest } from "./under-test.ts";

/** Events reach their subscribers. */
export function describeEvents(storage: StorageUnderTest): void {
  const { open, insert } = storage;
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
      const { heard } = listen(storage.database.events, "users");
      const second = listen(storage.database.events, "users");
      const other = listen(storage.database.events, "nodes");
      await expect.poll(() => [heard, second.heard, other.heard]).toEqual(Array(3).fill(["(resync)"]));
      for (const payload of ["1", "", "two words", "☂"]) {
        await storage.database.events.publish("users", payload);
      }
      await expect.poll(() => heard).toEqual(["(resync)", "1", "", "two words", "☂"]);
      await expect.poll(() => second.heard).toEqual(heard);
      expect(other.heard).toEqual(["(resync)"]);
    });

    test("of a transaction come when it commits, and never when it does not", async () => {
      const { heard } = listen(storage.database.events, "users");
      await expect.poll(() => heard).toEqual(["(resync)"]);
      await storage.database.transaction(async (tx) => {
        await insert(1, {}, tx);
        await storage.database.events.publish("users", "committed", tx);
        await setTimeout(30);
        expect(heard).toEqual(["(resync)"]);
      });
      const failing = storage.database.transaction(async (tx) => {
        await storage.database.events.publish("users", "rolled back", tx);
        throw new Error("no");
      });
      await expect(failing).rejects.toThrow("no");
      await storage.database.events.publish("users", "last");
      await expect.poll(() => heard).toEqual(["(resync)", "committed", "last"]);
    });

    test("published in a transaction without naming it are refused", async () => {
      await expect(storage.database.transaction(() => storage.database.events.publish("users", "x"))).rejects.toThrow(
        TransactionMisuse,
      );
    });

    test("with a payload that does not fit are delivered without it", async () => {
      const { heard } = listen(storage.database.events, "users");
      await expect.poll(() => heard).toEqual(["(resync)"]);
      const longest = "x".repeat(7999 - "users ".length);
      await storage.database.events.publish("users", longest);
      await storage.database.events.publish("users", `${longest}x`);
      await storage.database.events.publish("users", "☂".repeat(2_700));
      await expect.poll(() => heard).toEqual(["(resync)", longest, undefined, undefined]);
    });

    test("are not delivered to a subscription that was closed", async () => {
      const { heard, subscription } = listen(storage.database.events, "users");
      const still = listen(storage.database.events, "users");
      await expect.poll(() => still.heard).toEqual(["(resync)"]);
      subscription.close();
      subscription.close();
      await storage.database.events.publish("users", "1");
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
      await expect(storage.database.events.publish(topic, "")).rejects.toThrow(TypeError);
    });
  });
}
