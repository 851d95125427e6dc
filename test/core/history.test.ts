import { beforeAll, expect, test } from "vitest";
import { HistoryRetention, type HistoryRetentionOptions } from "../../src/core/domain/history-retention.ts";
import { createHistoryStore } from "../../src/core/store/history.ts";
import { describeScene, openDatabaseScene } from "./scene.ts";
import { addFleet } from "./usage/fleet.ts";

const day = 86_400_000;
const now = Date.UTC(2026, 4, 10, 12, 34, 30);

describeScene("what is old", openDatabaseScene, (scene) => {
  let nodes: readonly number[];
  beforeAll(async () => {
    nodes = (await addFleet(scene.database, { nodes: 3, users: 0 })).nodeIds;
  });

  const sweep = async (options: Partial<HistoryRetentionOptions> = {}) => {
    const log = { warn: (details: object) => expect.unreachable(JSON.stringify(details)) };
    const retention = new HistoryRetention({
      store: createHistoryStore(scene.database),
      now: () => now,
      log,
      ...options,
    });
    await retention.sweep();
    await retention.close();
  };

  test("is forgotten: coming and going after 90 days, the quarantine after 30, gaps and the audit after a year", async () => {
    const { db } = scene.database;
    const [node_id = 0] = nodes;
    const ages = [400, 100, 40, 1];
    for (const age of ages) {
      const at = now - age * day;
      const user = { node_id, account_id: 1, protocol: "vless" };
      await db
        .insertInto("session_event")
        .values({ ...user, event_type: "online", occurred_at: at })
        .execute();
      const session_id = `${age}`;
      await db
        .insertInto("online_session")
        .values({ ...user, since: at, ip_address: "", session_id })
        .execute();
      await db
        .insertInto("quarantined_entry")
        .values({ node_id, kind: "usage", reason: "", entry: "{}", received_at: at })
        .execute();
      await db
        .insertInto("node_stream_gap")
        .values({ node_id, kind: "usage", epoch: "e", from_seq: 1n, to_seq: 1n, noted_at: at })
        .execute();
      await db.insertInto("audit").values({ at, actor: "core", action: "a", target: "t" }).execute();
      const bytes = { bytes_up: 1n, bytes_down: 1n, user_bytes: 1n };
      await db
        .insertInto("inbound_day")
        .values({ node_id, day: at - (at % day), node_protocol_id: 1, ...bytes })
        .execute();
    }
    await sweep();
    const left = async (table: "session_event" | "online_session" | "inbound_day", column: string) => {
      const rows: Record<string, unknown>[] = await db.selectFrom(table).selectAll().execute();
      return rows.map((row) => Math.floor((now - Number(row[column])) / day));
    };
    expect(await left("session_event", "occurred_at")).toEqual([40, 1]);
    expect(await left("online_session", "since")).toEqual([40, 1]);
    expect(await left("inbound_day", "day")).toEqual([40, 1]);
    expect(await db.selectFrom("quarantined_entry").select("received_at").execute()).toHaveLength(1);
    expect(await db.selectFrom("node_stream_gap").select("noted_at").execute()).toHaveLength(3);
    expect(await db.selectFrom("audit").select("at").execute()).toHaveLength(3);
  });

  test("is forgotten all, however much of it there is", async () => {
    const { db } = scene.database;
    const row = { at: now - 3 * day, actor: "core", action: "many", target: "t" };
    for (let index = 0; index < 6; index++)
      await db
        .insertInto("audit")
        .values(Array.from({ length: 200 }, () => row))
        .execute();
    await sweep({ auditForMs: 2 * day });
    expect(await db.selectFrom("audit").select("action").where("action", "=", "many").execute()).toEqual([]);
  });

  test("revisions stay that are new, the last ones, or in use, and configs that they have", async () => {
    const { db } = scene.database;
    const addRevisions = async (node_id: number, ages: readonly number[], applied: readonly number[]) => {
      for (const [index, age] of ages.entries()) {
        // Every second one has what another node's have.
        const digest = `${index % 2 === 0 ? "shared" : node_id}-${index}`;
        await db
          .insertInto("config_blob")
          .values({ digest, config: "{}" })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        await db
          .insertInto("revision")
          .values({
            ...{ node_id, digest, revision: index + 1, created_at: now - age * day },
            outcome: applied.includes(index + 1) ? "applied" : "",
          })
          .execute();
      }
    };
    const [one = 0, two = 0, three = 0] = nodes;
    const set = (id: number, desired_revision: number, reported_revision: number) =>
      db.updateTable("node").set({ desired_revision, reported_revision }).where("id", "=", id).execute();
    await addRevisions(one, [80, 70, 60, 50, 40, 35, 20, 10], [1, 2, 3]);
    await set(one, 8, 2);
    await addRevisions(two, [80, 70, 60, 50], []);
    await set(two, 1, 0);
    await addRevisions(three, [80, 70], []);
    await set(three, 2, 0);
    await sweep({ revisionsKept: 2 });
    const left = async (id: number) =>
      (await db.selectFrom("revision").select("revision").where("node_id", "=", id).orderBy("revision").execute()).map(
        ({ revision }) => revision,
      );
    expect(await left(one)).toEqual([2, 3, 7, 8]);
    expect(await left(two)).toEqual([1, 3, 4]);
    expect(await left(three)).toEqual([1, 2]);
    const digests = (await db.selectFrom("config_blob").select("digest").orderBy("digest").execute()).map(
      ({ digest }) => digest,
    );
    const kept = [`${one}-1`, `${one}-7`, `${two}-3`, `${three}-1`, "shared-0", "shared-2", "shared-6"];
    expect(digests.toSorted()).toEqual(kept.toSorted());
  });
});
