import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openAuthority } from "../../src/core/domain/authority.ts";
import { hashOf } from "../../src/core/domain/hashed-secret.ts";
import { createNodeKeys, NodeKeyRevoked, NodeKeyUnknown } from "../../src/core/domain/node-keys.ts";
import { createOperatorKeys } from "../../src/core/domain/operator-keys.ts";
import { createAuthorityStore } from "../../src/core/store/authority.ts";
import { createFirstOperatorStore } from "../../src/core/store/first-operator.ts";
import { createNodeKeyStore } from "../../src/core/store/node-keys.ts";
import { createOperatorKeyStore } from "../../src/core/store/operator-keys.ts";
import type { CoreSchema } from "../../src/core/store/schema.ts";
import { topics } from "../../src/core/store/topics.ts";
import type { Database } from "../../src/platform/storage/database.ts";
import { addOperatorKey } from "./operator-key.ts";
import { engines, type SharedDatabase, shareDatabase } from "./shared-database.ts";

describe.each(engines)("on %s", (engine) => {
  let shared: SharedDatabase;
  let one: Database<CoreSchema>;
  let other: Database<CoreSchema>;
  beforeAll(async () => {
    shared = await shareDatabase(engine);
    [one, other] = await Promise.all([shared.open(), shared.open()]);
  });
  afterAll(() => shared.close());

  test("replicas that start together have one authority, and keep it", async () => {
    const stores = Array.from({ length: 8 }, (_, i) => createAuthorityStore(i % 2 === 0 ? one : other));
    const authorities = await Promise.all(stores.map((store) => openAuthority(store, () => Date.now())));
    expect(new Set(authorities.map(({ cert, key }) => cert + key)).size).toBe(1);
    expect(await openAuthority(createAuthorityStore(other), () => Date.now())).toEqual(authorities[0]);
  });

  test("of replicas that start together one makes the first operator's key", async () => {
    const stores = Array.from({ length: 8 }, (_, i) => createFirstOperatorStore(i % 2 === 0 ? one : other));
    expect(await stores[0]?.hasOperator()).toBe(false);
    const made = await Promise.all(stores.map((store, i) => store.addFirst(hashOf(`ok_${i}`), Date.now())));
    expect(made.filter((isFirst) => isFirst)).toHaveLength(1);
    expect(await stores[1]?.hasOperator()).toBe(true);
    expect(await stores[1]?.addFirst(hashOf("ok_late"), Date.now())).toBe(false);
    await one.db.deleteFrom("operator_key").execute();
  });

  describe("keys of operators", () => {
    let now = 1_000_000;
    const open = (database: Database<CoreSchema>) =>
      createOperatorKeys({ store: createOperatorKeyStore(database), now: () => now });
    let keys: ReturnType<typeof open>;
    beforeEach(() => {
      now += 100_000;
      keys = open(one);
    });

    test("open what their scopes say, and are kept as a hash", async () => {
      const { id, key } = await addOperatorKey(one, ["nodes:read", "users:write"]);
      expect(await keys.verify(key)).toEqual({ actor: `operator-key:${id}`, scopes: ["nodes:read", "users:write"] });
      const row = await one.db.selectFrom("operator_key").selectAll().where("id", "=", id).executeTakeFirstOrThrow();
      expect(JSON.stringify(row)).not.toContain(key.slice(3));
      expect(Buffer.from(row.hash)).toEqual(hashOf(key));
      expect(await open(other).verify(key)).toMatchObject({ actor: `operator-key:${id}` });
    });

    test("end when they expire, to the millisecond, and when they are revoked", async () => {
      const { key } = await addOperatorKey(one, ["*"], { expiresAt: now + 10 });
      expect(await keys.verify(key)).toBeDefined();
      now += 9;
      expect(await keys.verify(key)).toBeDefined();
      now += 1;
      expect(await keys.verify(key)).toBeUndefined();
      const { id, key: lasting } = await addOperatorKey(one, ["*"]);
      expect(await keys.verify(lasting)).toBeDefined();
      await one.db.updateTable("operator_key").set({ revoked_at: now }).where("id", "=", id).execute();
      expect(await keys.verify(lasting)).toBeDefined(); // as it is remembered
      keys.changed();
      expect(await keys.verify(lasting)).toBeUndefined();
    });

    test("that were revoked elsewhere, without a word of it, end within half a minute", async () => {
      const { id, key } = await addOperatorKey(one, ["*"]);
      await keys.verify(key);
      await one.db.updateTable("operator_key").set({ revoked_at: now }).where("id", "=", id).execute();
      now += 30_000;
      expect(await keys.verify(key)).toBeUndefined();
    });

    test("of scopes that this version does not know open nothing by them", async () => {
      const { id, key } = await addOperatorKey(one, ["nodes:read"]);
      await one.db
        .updateTable("operator_key")
        .set({ scopes: '["newer:write","nodes:read"]' })
        .where("id", "=", id)
        .execute();
      expect(await keys.verify(key)).toMatchObject({ scopes: ["nodes:read"] });
    });

    test("have the time of their last use, within half a minute", async () => {
      const { id, key } = await addOperatorKey(one, ["*"]);
      const lastUse = async () =>
        (await one.db.selectFrom("operator_key").select("last_used_at").where("id", "=", id).executeTakeFirst())
          ?.last_used_at;
      expect(await lastUse()).toBeNull();
      await keys.verify(key);
      expect(await lastUse()).toBe(now);
      const first = now;
      now += 29_999;
      await keys.verify(key);
      expect(await lastUse()).toBe(first);
      now += 1;
      await keys.verify(key);
      expect(await lastUse()).toBe(now);
    });

    test.each([
      "",
      "ok_",
      "nk_0000000000000000000000000000000000000000000",
      "ok_000000000000000000000000000000000000000000/",
    ])("%j is nobody's", async (text) => expect(await keys.verify(text)).toBeUndefined());
  });

  describe("keys of nodes", () => {
    let now = 1_000_000_000;
    let nodeId: number;
    const open = (database: Database<CoreSchema>) =>
      createNodeKeys({ store: createNodeKeyStore(database), now: () => now });
    const first = `nk_${"A".repeat(43)}`;
    let keys: ReturnType<typeof open>;

    beforeEach(async () => {
      await one.db.deleteFrom("node").execute();
      const node = await one.db
        .insertInto("node")
        .values({ name: "fra-1", host: "", ip: "192.0.2.1", created_at: now, rotate_key: 1 })
        .returning("id")
        .executeTakeFirstOrThrow();
      nodeId = node.id;
      await one.db
        .insertInto("node_key")
        .values({ node_id: nodeId, hash: hashOf(first), created_at: now })
        .execute();
      keys = open(one);
    });

    test("tell whose they are, the second time without asking the database", async () => {
      const caller = await keys.verify(first);
      expect(caller).toMatchObject({ nodeId });
      await keys.verify(first);
      expect(keys.verify(first)).not.toBeInstanceOf(Promise);
      expect(keys.verify(first)).toMatchObject({ nodeId });
    });

    test.each(["", "nk_", `nk_${"B".repeat(43)}`, `ok_${"A".repeat(43)}`, `${first}=`])(
      "%j is nobody's",
      async (text) => {
        await expect(async () => keys.verify(text)).rejects.toThrow(NodeKeyUnknown);
      },
    );

    test("a key that replaces another leaves it valid until it is used, and then no longer, in every replica", async () => {
      const elsewhere = open(other);
      await elsewhere.verify(first);
      const caller = await keys.verify(first);
      const { key: second, oldKeyEndsAt } = await keys.rotate(caller);
      expect(oldKeyEndsAt).toBe(now + 24 * 3_600_000);
      expect(second).toMatch(/^nk_[\w-]{43}$/);
      expect(await keys.verify(first)).toMatchObject({ nodeId });
      expect(await rotateWish()).toBe(1);
      expect(await keys.verify(second)).toMatchObject({ nodeId });
      await expect(async () => keys.verify(first)).rejects.toThrow(NodeKeyRevoked);
      expect(await rotateWish()).toBe(0);
      now += 30_001; // what was remembered elsewhere is over, though no event told
      await expect(async () => elsewhere.verify(first)).rejects.toThrow(NodeKeyRevoked);
    });

    const rotateWish = async () =>
      (await one.db.selectFrom("node").select("rotate_key").where("id", "=", nodeId).executeTakeFirstOrThrow())
        .rotate_key;

    test("a key ends after 24 hours though its successor is never used, however often it is asked for", async () => {
      const { oldKeyEndsAt } = await keys.rotate(await keys.verify(first));
      now += 23 * 3_600_000;
      expect((await keys.rotate(await keys.verify(first))).oldKeyEndsAt).toBe(oldKeyEndsAt);
      now = oldKeyEndsAt;
      await expect(async () => keys.verify(first)).rejects.toThrow(NodeKeyRevoked);
    });

    // A network that doubles a call brings either answer, and an answer that is lost has the node ask again.
    test.each(["first", "last"] as const)("of several successors the %s to be used ends the others", async (which) => {
      const caller = await keys.verify(first);
      const made = [await keys.rotate(caller), await open(other).rotate(caller), await keys.rotate(caller)];
      if (which === "last") made.reverse();
      const [used, ...others] = made.map(({ key }) => key);
      expect(await keys.verify(used ?? "")).toMatchObject({ nodeId });
      for (const each of [first, ...others])
        await expect(async () => open(other).verify(each)).rejects.toThrow(NodeKeyRevoked);
      // A copy that comes late makes no key of nobody.
      const countOfKeys = async () => (await one.db.selectFrom("node_key").select("id").execute()).length;
      const before = await countOfKeys();
      await expect(keys.rotate(caller)).rejects.toThrow(NodeKeyRevoked);
      expect(await countOfKeys()).toBe(before);
      expect(await keys.verify(used ?? "")).toMatchObject({ nodeId });
    });

    test("a successor whose answer has got lost is void when another one is asked for ten minutes later", async () => {
      const { key: lost } = await keys.rotate(await keys.verify(first));
      now += 10 * 60_000 + 1;
      const { key: second } = await keys.rotate(await keys.verify(first));
      await expect(async () => keys.verify(lost)).rejects.toThrow(NodeKeyRevoked);
      expect(await keys.verify(second)).toMatchObject({ nodeId });
    });

    test("keys that are used at the same time for the first time end each other once, and one stays", async () => {
      const { key: second } = await keys.rotate(await keys.verify(first));
      const verifiers = [keys, open(other), open(one), open(other)];
      const callers = await Promise.all(verifiers.map(async (each) => each.verify(second)));
      expect(new Set(callers.map(({ keyId }) => keyId)).size).toBe(1);
      expect(await open(other).verify(second)).toMatchObject({ nodeId });
    });

    test("revoked keys are told from unknown ones, and replicas hear of it at once", async () => {
      const elsewhere = open(other);
      await elsewhere.verify(first);
      await elsewhere.verify(first);
      const heard = new Promise<void>((resolve) => {
        const subscription = other.events.subscribe(topics.nodeKeys, {
          event(payload) {
            elsewhere.changed(Number(payload));
            subscription.close();
            resolve();
          },
          resync: () => undefined,
        });
      });
      if (engine === "postgres") {
        await sleep(200); // listening begins
        await keys.revokeAll(nodeId);
        await heard;
        await expect(async () => elsewhere.verify(first)).rejects.toThrow(NodeKeyRevoked);
      } else {
        // SQLite has one process: events do not leave it.
        await keys.revokeAll(nodeId);
        await expect(async () => keys.verify(first)).rejects.toThrow(NodeKeyRevoked);
      }
    });
  });
});
