import { randomUUID } from "node:crypto";
import { setImmediate, setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Publishing } from "../../src/core/domain/publishing.ts";
import { Sweeping } from "../../src/core/domain/sweeping.ts";
import { createPublicationStore, usualDebounce } from "../../src/core/store/publications.ts";
import { createSweepStore } from "../../src/core/store/sweeps.ts";
import { addNode, addUsers } from "./fleet-rows.ts";
import { describeScene, openDatabaseScene } from "./scene.ts";
import { emptyTables } from "./shared-database.ts";

const log = {
  warn(details: object) {
    throw new Error("the sweeper has trouble", { cause: details });
  },
};

describeScene("sweeping", openDatabaseScene, (scene) => {
  let node: number;
  let running: { close(): Promise<void> }[] = [];
  beforeEach(async () => {
    await emptyTables(scene.database, "revision", "config_blob", "account", "node");
    node = await addNode(scene.database, "a");
  });
  afterEach(async () => {
    for (const one of running) await one.close();
    running = [];
  });

  const start = ({ on = scene.database, now = Date.now, debounce = usualDebounce } = {}) => {
    const publishing = new Publishing({
      store: createPublicationStore(on),
      name: randomUUID(),
      now,
      rest: () => setImmediate(),
      log: { warn: () => undefined },
    });
    const store = createSweepStore(on, debounce);
    running.push(publishing, new Sweeping({ store, now, onNews: () => publishing.wake(), log }));
  };
  const refusals = async () => {
    const rows = await scene.database.db.selectFrom("subscription").select("refused").orderBy("id").execute();
    return rows.map(({ refused }) => refused);
  };
  const newest = async () => {
    const row = await scene.database.db
      .selectFrom("revision")
      .innerJoin("config_blob", "config_blob.digest", "revision.digest")
      .select(["revision", "config", "reason", "created_at"])
      .where("node_id", "=", node)
      .orderBy("revision", "desc")
      .executeTakeFirst();
    return row && { ...row, users: Object.keys(JSON.parse(row.config).clientMap).length };
  };
  const untilUsers = async (users: number) => {
    for (let waited = 0; ; waited += 20) {
      const config = await newest();
      if (config?.users === users) return config;
      if (waited > 6_000) throw new Error(`there are ${config?.users} users, not ${users}`);
      await setTimeout(20);
    }
  };

  test("a user whose time is over is off every node soon after, and not before", async () => {
    const other = await addNode(scene.database, "b");
    await addUsers(scene.database, 2);
    const expiresAt = Date.now() + 1_500;
    await addUsers(scene.database, 1, ["vless"], { expires_at: expiresAt });
    await createPublicationStore(scene.database).mark("all", "created", Date.now());
    start();
    await untilUsers(3);
    expect(await refusals()).toEqual(["", "", ""]);
    const { created_at: at, reason } = await untilUsers(2);
    expect(reason).toBe("expired");
    expect(at - expiresAt).toBeGreaterThanOrEqual(0);
    expect(at - expiresAt).toBeLessThan(3_000);
    expect(await refusals()).toEqual(["", "", "expired"]);
    node = other;
    await untilUsers(2);
  });

  test("what happened while nobody swept is made good, and what operators change behind our back", async () => {
    const now = Date.now();
    const tomorrow = now + 86_400_000;
    await addUsers(scene.database, 1, ["vless"], { expires_at: now - 60_000 });
    await addUsers(scene.database, 1, ["vless"], { quota_bytes: 2n ** 60n, period_bytes: 2n ** 60n });
    await addUsers(scene.database, 2, ["vless"], { expires_at: tomorrow, quota_bytes: 10n, period_bytes: 9n });
    await scene.database.db
      .updateTable("subscription")
      .set({ refused: "expired" })
      .where("period_bytes", "=", 9n)
      .execute();
    start();
    await untilUsers(2);
    expect(await refusals()).toEqual(["expired", "quota", "", ""]);
  });

  test("a period that ends lets its user in again, with nothing used", async () => {
    const nextResetAt = Date.now() + 1_000;
    const [id = 0] = await addUsers(scene.database, 1, ["vless"], {
      quota_bytes: 10n,
      period_bytes: 12n,
      reset_period: "day",
      next_reset_at: nextResetAt,
    });
    await addUsers(scene.database, 1);
    start();
    await untilUsers(1);
    const { created_at: at } = await untilUsers(2);
    expect(at - nextResetAt).toBeGreaterThanOrEqual(0);
    expect(at - nextResetAt).toBeLessThan(3_000);
    const row = await scene.database.db
      .selectFrom("subscription")
      .selectAll()
      .where("id", "=", id)
      .executeTakeFirstOrThrow();
    expect(row).toMatchObject({ refused: "", period_bytes: 0n, period_started_at: nextResetAt });
    const nextMidnight = new Date(nextResetAt).setUTCHours(24, 0, 0, 0);
    expect(row.next_reset_at).toBe(nextMidnight);
  });

  test("what a clock that was a year ahead has done is undone when it is right again", async () => {
    let ahead = 0;
    const now = () => Date.now() + ahead;
    const midnight = new Date().setUTCHours(24, 0, 0, 0);
    await addUsers(scene.database, 1, ["vless"], { expires_at: Date.now() + 7 * 86_400_000 });
    await addUsers(scene.database, 1, ["vless"], {
      quota_bytes: 10n,
      period_bytes: 4n,
      reset_period: "day",
      next_reset_at: midnight,
    });
    await createPublicationStore(scene.database).mark("all", "created", now());
    start({ now });
    await untilUsers(2);
    ahead = 365 * 86_400_000;
    await untilUsers(1);
    ahead = 0;
    await untilUsers(2);
    expect(await refusals()).toEqual(["", ""]);
    const period = await scene.database.db
      .selectFrom("subscription")
      .select(["period_started_at", "next_reset_at"])
      .where("quota_bytes", "is not", null)
      .executeTakeFirstOrThrow();
    expect(period.next_reset_at).toBe(new Date().setUTCHours(24, 0, 0, 0));
    expect(period.period_started_at).toBeLessThanOrEqual(Date.now());
  });

  test("replicas share the work: one revision for all that expires at a time", async () => {
    await addUsers(scene.database, 450, ["vless"], { expires_at: Date.now() + 1_500 });
    await addUsers(scene.database, 1);
    await createPublicationStore(scene.database).mark("all", "created", Date.now());
    const debounce = { quietMs: 1_000, mostMs: 10_000 }; // longer than a slow machine takes to sweep them all
    start({ debounce });
    start({ on: await scene.shared.open(), debounce });
    await untilUsers(451);
    expect(await untilUsers(1)).toMatchObject({ revision: 2 });
  });
});
