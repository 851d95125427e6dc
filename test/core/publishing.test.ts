import { setImmediate, setTimeout } from "node:timers/promises";
import { sql } from "kysely";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readConfig } from "../../src/core/domain/content/config-message.ts";
import { Publishing } from "../../src/core/domain/publishing.ts";
import { createConfigStore } from "../../src/core/store/config-store.ts";
import { createPublicationStore } from "../../src/core/store/publications.ts";
import { agentDigest } from "./agent-config.ts";
import { addNode, addUsers } from "./fleet-rows.ts";
import { describeScene, openDatabaseScene } from "./scene.ts";
import { emptyTables } from "./shared-database.ts";

const noPace = () => undefined;
const log = { warn: () => undefined };

describeScene("publishing", openDatabaseScene, (scene, engine) => {
  let running: Publishing[] = [];
  beforeEach(async () => {
    await emptyTables(scene.database, "revision", "config_blob", "account", "node");
  });
  afterEach(async () => {
    for (const publishing of running) await publishing.close();
    running = [];
  });

  const start = (name: string, on = scene.database) => {
    const debounce = { quietMs: 100, mostMs: 400 };
    const store = createPublicationStore(on, debounce);
    const publishing = new Publishing({ store, name, now: Date.now, rest: () => setImmediate(), log });
    running.push(publishing);
    return publishing;
  };
  const revisionsOf = (nodeId: number) =>
    scene.database.db
      .selectFrom("revision")
      .selectAll()
      .where("node_id", "=", nodeId)
      .orderBy("revision", "desc")
      .execute();
  const until = async <T>(ask: () => Promise<T | undefined | false>): Promise<T> => {
    for (let waited = 0; ; waited += 20) {
      const answer = await ask();
      if (answer) return answer;
      if (waited > 8_000) throw new Error("it does not happen");
      await setTimeout(20);
    }
  };
  const configOf = async (nodeId: number) => {
    const [newest] = await revisionsOf(nodeId);
    if (newest === undefined) return undefined;
    const config = await readConfig((await createConfigStore(scene.database).content(newest.digest)) ?? "", noPace);
    expect(agentDigest(config)).toBe(newest.digest);
    return { ...newest, users: Object.keys(config.clientMap).length };
  };

  test("a change makes a revision of each node that differs, numbered from 1, and tells all replicas", async () => {
    const a = await addNode(scene.database, "a");
    const b = await addNode(scene.database, "b", ["vmess"]);
    const publishing = start("one");
    const told: number[] = [];
    const listening = createConfigStore(scene.database).onPublished((nodeIds = []) => told.push(...nodeIds));
    publishing.changed("all", "created");
    const [ofA, ofB] = await until(async () => {
      const both = [await configOf(a), await configOf(b)] as const;
      return both[0] && both[1] && both;
    });
    expect([ofA, ofB]).toMatchObject([
      { revision: 1, reason: "created", users: 0, outcome: "" },
      { revision: 1, reason: "created", users: 0 },
    ]);
    await addUsers(scene.database, 3, ["vless"]);
    publishing.changed({ subscriptionIds: [1, 2, 3] }, "users added");
    expect(await until(async () => ((await configOf(a))?.revision === 2 ? configOf(a) : false))).toMatchObject({
      users: 3,
    });
    await until(async () => told.length >= 3);
    expect(told.toSorted()).toEqual([a, a, b].toSorted());
    // The other node serves no VLESS: what was rendered is the same.
    expect((await revisionsOf(b)).length).toBe(1);
    const node = await scene.database.db.selectFrom("node").selectAll().where("id", "=", a).executeTakeFirstOrThrow();
    expect(node).toMatchObject({ desired_revision: 2, sync_status: "pending" });
    listening.close();
  });

  test("many changes within a moment are one revision, and a change each moment is not put off for ever", async () => {
    const node = await addNode(scene.database, "a");
    const publishing = start("one");
    const startedAt = Date.now();
    let published = 0;
    while (published < 2 && Date.now() - startedAt < 5_000) {
      await addUsers(scene.database, 1);
      publishing.changed({ nodeIds: [node] }, "user added");
      await setTimeout(20);
      published = (await revisionsOf(node)).length;
    }
    const tookMs = Date.now() - startedAt;
    expect(published).toBe(2);
    // Two times the longest delay, and not as often as there were changes.
    expect(tookMs).toBeGreaterThan(400);
    expect(tookMs).toBeLessThan(3_000);
  });

  test("two replicas do not both publish, and one does what the other has left", async () => {
    const nodes = await Promise.all(Array.from({ length: 20 }, (_, n) => addNode(scene.database, `n-${n}`)));
    await addUsers(scene.database, 50);
    const other = await scene.shared.open();
    const first = start("one");
    const second = start("two", other);
    for (const [index, nodeId] of nodes.entries()) {
      (index % 2 === 0 ? first : second).changed({ nodeIds: [nodeId] }, "created");
      first.changed({ nodeIds: [nodeId] }, "created");
    }
    await until(async () => (await Promise.all(nodes.map(revisionsOf))).every((revisions) => revisions.length > 0));
    await setTimeout(300);
    for (const nodeId of nodes) expect((await revisionsOf(nodeId)).length).toBe(1);

    // Notes a change and dies.
    const [node = 0] = nodes;
    await first.close();
    await addUsers(scene.database, 1);
    await createPublicationStore(scene.database).mark({ nodeIds: [node] }, "left undone", Date.now());
    expect(await until(async () => (await revisionsOf(node))[1] && configOf(node))).toMatchObject({
      revision: 2,
      users: 51,
      reason: "left undone",
    });
  });

  if (engine === "postgres")
    test("contents are compressed in the way that takes the least time", async () => {
      const compression = await sql<{ attcompression: string }>`select attcompression from pg_attribute
        where attrelid = 'config_blob'::regclass and attname = 'config'`.execute(scene.database.db);
      expect(compression.rows).toEqual([{ attcompression: "l" }]);
    });

  test("what cannot be written is given back, and what comes after it is published all the same", async () => {
    const [first, second] = [
      await addNode(scene.database, "a", ["vless"]),
      await addNode(scene.database, "b", ["vless"]),
    ];
    const store = createPublicationStore(scene.database, { quietMs: 0, mostMs: 0 });
    const failures: object[] = [];
    const publishing = new Publishing({
      store: {
        ...store,
        publish: async (by, rendered, now) => {
          if (rendered.some(({ nodeId }) => nodeId === first)) throw new Error("the disk is full");
          return store.publish(by, rendered, now);
        },
      },
      ...{ name: "one", now: Date.now, rest: () => setImmediate() },
      log: { warn: (details) => void failures.push(details) },
    });
    running.push(publishing);
    publishing.changed({ nodeIds: [first] }, "created");
    const stateOf = () =>
      scene.database.db
        .selectFrom("node_publication")
        .select(["claimed_by", "first_at", "due_at"])
        .where("node_id", "=", first)
        .executeTakeFirst();
    const before = Date.now();
    await until(async () => failures.length > 0 && (await stateOf())?.claimed_by === "");
    const state = await stateOf();
    expect(state?.first_at).not.toBeNull();
    expect(state?.due_at).toBeGreaterThan(before + 5_000);
    publishing.changed({ nodeIds: [second] }, "created");
    await until(async () => (await revisionsOf(second)).length === 1);
    expect(await revisionsOf(first)).toEqual([]);
    expect(failures).toMatchObject([{ err: new Error("the disk is full") }]);
  });

  test("a claim whose owner has died is taken over when it ends, and comes to nothing after that", async () => {
    const node = await addNode(scene.database, "a");
    const store = createPublicationStore(scene.database, { quietMs: 0, mostMs: 0 });
    await store.mark({ nodeIds: [node] }, "change", 1_000);
    expect(await store.claim("dead", 1_000, 2_000, 9)).toMatchObject([{ nodeId: node }]);
    expect(await store.claim("alive", 1_500, 9_000, 9)).toEqual([]);
    const [claim] = await store.claim("alive", 2_000, 9_000, 9);
    if (claim === undefined) throw new Error("nothing was claimed");
    const rendered = { ...claim, content: '{"clientMap":{},"services":{}}', digest: "d", protocolVersion: 1 };
    await store.publish("dead", [rendered], 2_100);
    expect(await revisionsOf(node)).toEqual([]);
    await store.publish("alive", [rendered], 2_200);
    expect(await revisionsOf(node)).toMatchObject([{ revision: 1, digest: "d" }]);
    expect(await store.nextDueAt()).toBeUndefined();
  });

  test("a change that comes while its node is rendered is published as well", async () => {
    const node = await addNode(scene.database, "a");
    const store = createPublicationStore(scene.database, { quietMs: 0, mostMs: 0 });
    await store.mark({ nodeIds: [node] }, "change", 1_000);
    const [claim] = await store.claim("one", 1_000, 9_000, 9);
    if (claim === undefined) throw new Error("nothing was claimed");
    await store.mark({ nodeIds: [node] }, "later change", 1_100);
    await store.publish("one", [{ ...claim, content: "{}", digest: "d", protocolVersion: 1 }], 1_200);
    expect(await store.claim("one", 1_200, 9_000, 9)).toMatchObject([{ nodeId: node, version: claim.version + 1 }]);
  });

  test("a node whose rows cannot be read keeps nobody else waiting", async () => {
    const bad = await addNode(scene.database, "bad");
    await scene.database.db.updateTable("node_protocol").set({ settings: "{" }).where("node_id", "=", bad).execute();
    const good = await addNode(scene.database, "good");
    start("one").changed("all", "created");
    await until(() => configOf(good));
    expect(await revisionsOf(bad)).toEqual([]);
  });

  test("a node that nobody has told of is found", async () => {
    const node = await addNode(scene.database, "a");
    const store = createPublicationStore(scene.database, { quietMs: 0, mostMs: 0 });
    await store.markUnchecked(5_000, 10, 9_000);
    const claimed = await store.claim("one", 9_000, 10_000, 9);
    expect(claimed).toMatchObject([{ nodeId: node, reason: "checked" }]);
    await store.publish(
      "one",
      claimed.map((claim) => ({ ...claim, content: "{}", digest: "d", protocolVersion: 1 })),
      9_000,
    );
    await store.markUnchecked(9_000, 10, 10_000);
    expect(await store.nextDueAt()).toBeUndefined();
    await store.markUnchecked(9_001, 10, 10_000);
    expect(await store.nextDueAt()).toBe(10_000);
  });

  test("a node whose agent speaks another version of the contract by now is found", async () => {
    const node = await addNode(scene.database, "a");
    const store = createPublicationStore(scene.database, { quietMs: 0, mostMs: 0 });
    await store.mark({ nodeIds: [node] }, "change", 1_000);
    const claimed = await store.claim("one", 1_000, 10_000, 9);
    const rendered = claimed.map((claim) => ({ ...claim, content: "{}", digest: "d", protocolVersion: 0 }));
    await store.publish("one", rendered, 9_000);
    await store.markUnchecked(1_000, 10, 10_000);
    expect(await store.claim("one", 10_000, 11_000, 9)).toMatchObject([{ nodeId: node }]);
  });

  test("WireGuard's users have an address before they are rendered, which stays theirs whatever becomes of others", async () => {
    const node = await addNode(scene.database, "a", ["wireguard"], 2);
    const old = await addNode(scene.database, "old", ["wireguard"], 1);
    const [one = 0, two = 0, three = 0] = await addUsers(scene.database, 3, ["wireguard"]);
    const replicas = [start("one"), start("two", await scene.shared.open())];
    const changed = (ids: number[]) => {
      for (const replica of replicas) replica.changed({ subscriptionIds: ids }, "changed");
    };
    /** Users by their subscriptions, with the last part of their addresses. */
    const usersOf = async (nodeId: number) => {
      const [newest] = await revisionsOf(nodeId);
      if (newest === undefined) return undefined;
      const content = (await createConfigStore(scene.database).content(newest.digest)) ?? "";
      const { clientMap, services } = await readConfig(content, noPace);
      return services?.wireguard?.inbounds.flatMap(({ users }) =>
        users
          .map(({ linkUuid, peerIps }) => [Number(clientMap[linkUuid]?.subscriptionId), ...peerIps])
          .sort(([a], [b]) => Number(a) - Number(b)),
      );
    };
    const address = (id: number, number: number) => [id, `10.66.0.${number}/32`, `fd66::${number}/128`];
    const settled = (expected: unknown) => expect.poll(() => usersOf(node), { timeout: 8_000 }).toEqual(expected);
    changed([one, two, three]);
    await settled([address(one, 2), address(two, 3), address(three, 4)]);
    await until(async () => (await revisionsOf(old)).length > 0);
    expect(await usersOf(old)).toBeUndefined();

    const { db } = scene.database;
    await db.updateTable("subscription").set({ refused: "quota" }).where("id", "=", one).execute();
    await db.deleteFrom("subscription").where("id", "=", two).execute();
    changed([one, two]);
    await settled([address(three, 4)]);
    const [four = 0] = await addUsers(scene.database, 1, ["wireguard"]);
    await db.updateTable("subscription").set({ refused: "" }).where("id", "=", one).execute();
    changed([one, four]);
    await settled([address(one, 2), address(three, 4), address(four, 5)]);
    await db.updateTable("node").set({ protocol_version: 2 }).where("id", "=", old).execute();
    changed([one]);
    await expect
      .poll(() => usersOf(old), { timeout: 8_000 })
      .toEqual([...[address(one, 2), address(three, 4), address(four, 5)]]);
  });

  test("what may be used is rendered: not users, subscriptions and links that are disabled or refused", async () => {
    const node = await addNode(scene.database, "a", ["vless", "trojan"]);
    const ids = await addUsers(scene.database, 6, ["vless", "trojan"], { quota_bytes: 2n ** 60n });
    const [account, subscription, link, refused, limited, all] = ids;
    const { db } = scene.database;
    await db
      .updateTable("account")
      .set({ enabled: 0 })
      .where("id", "=", account ?? 0)
      .execute();
    await db
      .updateTable("subscription")
      .set({ enabled: 0 })
      .where("id", "=", subscription ?? 0)
      .execute();
    await db
      .updateTable("link")
      .set({ enabled: 0 })
      .where("subscription_id", "=", link ?? 0)
      .where("protocol", "=", "vless")
      .execute();
    await db
      .updateTable("subscription")
      .set({ refused: "quota" })
      .where("id", "=", refused ?? 0)
      .execute();
    await db
      .updateTable("subscription")
      .set({ all_protocols: 0 })
      .where("id", "=", limited ?? 0)
      .execute();
    const [vless] = await db
      .selectFrom("node_protocol")
      .select("id")
      .where("node_id", "=", node)
      .orderBy("id")
      .execute();
    await db
      .insertInto("subscription_protocol")
      .values({ subscription_id: limited ?? 0, node_protocol_id: vless?.id ?? 0 })
      .execute();
    const store = createPublicationStore(scene.database);
    const rows = await store.nodes([node]);
    expect(rows).toMatchObject([{ nodeId: node, protocolVersion: 1 }]);
    expect(rows[0]?.protocols.map(({ protocol }) => protocol).toSorted()).toEqual(["trojan", "vless"]);
    const links = await store.links(["vless", "trojan"], noPace);
    const has = links.map(({ subscriptionId, protocol, access }) => [subscriptionId, protocol, access && [...access]]);
    expect(has.toSorted()).toEqual([
      [link, "trojan", undefined],
      [limited, "trojan", [vless?.id]],
      [limited, "vless", [vless?.id]],
      [all, "trojan", undefined],
      [all, "vless", undefined],
    ]);
    expect(links[0]).toMatchObject({ quotaBytes: 2 ** 50 });
    expect(await store.links(["vmess"], noPace)).toEqual([]);
  });
});
