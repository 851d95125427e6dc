import { beforeEach, expect, test } from "vitest";
import { UsageRetention } from "../../../src/core/domain/usage/retention.ts";
import { createRetentionStore } from "../../../src/core/store/usage/retention.ts";
import { createRandom } from "../../support/random.ts";
import { describeScene, openDatabaseScene } from "../scene.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;
const now = Date.UTC(2026, 4, 10, 12, 34, 30);

describeScene("old usage", openDatabaseScene, (scene) => {
  beforeEach(() => scene.database.db.deleteFrom("usage_minute").execute());

  const retention = () => {
    const made = new UsageRetention({
      store: createRetentionStore(scene.database),
      now: () => now,
      log: { warn: (details) => expect.unreachable(JSON.stringify(details)) },
    });
    return { made, [Symbol.asyncDispose]: () => made.close() };
  };
  const add = (at: number, more: { node_id?: number; account_id?: number; late?: number; bytes_up?: bigint } = {}) =>
    scene.database.db
      .insertInto("usage_minute")
      .values({
        ...{
          minute: at,
          node_id: 1,
          node_protocol_id: 1,
          account_id: 1,
          subscription_id: 1,
          bytes_up: 1n,
          bytes_down: 10n,
        },
        ...more,
      })
      .execute();
  const rows = () =>
    scene.database.db
      .selectFrom("usage_minute")
      .selectAll()
      .orderBy("node_id")
      .orderBy("minute")
      .orderBy("account_id")
      .execute();

  test("becomes hours after 8 days and days after 92, and what is newer stays", async () => {
    await using sweeper = retention();
    const old = Date.UTC(2026, 4, 2, 11);
    const ancient = Date.UTC(2026, 0, 1);
    for (const at of [old, old + minute, old + 59 * minute]) await add(at);
    await add(old + hour); // begins within 8 days, less a started hour
    for (const at of [ancient, ancient + 5 * hour + 3 * minute, ancient + 23 * hour])
      await add(at, { late: at % 7 > 3 ? 1 : 0 });
    await sweeper.made.sweep();
    expect((await rows()).map((row) => [row.minute, row.coarse, row.bytes_up, row.bytes_down])).toEqual([
      [ancient, 2, 3n, 30n],
      [old, 1, 3n, 30n],
      [old + hour, 0, 1n, 10n],
    ]);
  });

  test("loses no byte of anybody, whatever there was, also when two sweep at once", async () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const random = createRandom(seed);
    const wanted = new Map<string, bigint>();
    for (let count = 0; count < 300; count += 1) {
      const row = { node_id: 1 + random.below(3), account_id: random.below(3), bytes_up: BigInt(random.below(1e9)) };
      const at = now - (now % minute) - random.below(120 * 24 * 60) * minute;
      const taken = await scene.database.db
        .selectFrom("usage_minute")
        .select("minute")
        .where("minute", "=", at)
        .execute();
      if (taken.length > 0) continue;
      await add(at, row);
      const key = `${row.node_id} ${row.account_id}`;
      wanted.set(key, (wanted.get(key) ?? 0n) + row.bytes_up);
    }
    await using first = retention();
    await using second = retention();
    await Promise.all([first.made.sweep(), second.made.sweep()]);
    await first.made.sweep();
    const found = new Map<string, bigint>();
    for (const { node_id, account_id, bytes_up, minute: at, coarse } of await rows()) {
      const key = `${node_id} ${account_id}`;
      found.set(key, (found.get(key) ?? 0n) + bytes_up);
      expect(at % (coarse === 2 ? day : coarse === 1 ? hour : minute)).toBe(0);
      if (at < now - 93 * day) expect(coarse).toBe(2);
      else if (at < now - 9 * day) expect(coarse).toBeGreaterThan(0);
    }
    expect([seed, [...found].sort()]).toEqual([seed, [...wanted].sort()]);
  });

  test("streams that had no batch for 30 days are forgotten", async () => {
    await using sweeper = retention();
    const node = await scene.database.db
      .insertInto("node")
      .values({ name: "n", host: "", ip: "192.0.2.1", created_at: 1 })
      .returning("id")
      .executeTakeFirstOrThrow();
    for (const [epoch, updated_at] of [
      ["old", now - 30 * day - 1],
      ["new", now - 30 * day],
    ] as const) {
      const stream = { node_id: node.id, kind: "usage", epoch, last_seq: 1n, digests: new Uint8Array(), updated_at };
      await scene.database.db.insertInto("node_stream").values(stream).execute();
    }
    await sweeper.made.sweep();
    expect(await scene.database.db.selectFrom("node_stream").select("epoch").execute()).toEqual([{ epoch: "new" }]);
  });
});
