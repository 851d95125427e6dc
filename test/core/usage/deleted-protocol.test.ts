import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HistoryRetention } from "../../../src/core/domain/history-retention.ts";
import { createHistoryStore } from "../../../src/core/store/history.ts";
import { type CoreUnderTest, serveCore } from "../core-under-test.ts";
import { engines, type SharedDatabase, shareDatabase } from "../shared-database.ts";

describe.each(engines)("what was carried over a protocol that was deleted since, on %s", (engine) => {
  const clock = { now: Date.parse("2026-11-21T12:00:00Z") };
  let shared: SharedDatabase;
  let core: CoreUnderTest;
  let operator: string;
  beforeAll(async () => {
    shared = await shareDatabase(engine);
    core = await serveCore(shared, clock);
    operator = `authorization: Bearer ${await core.operator("*")}`;
  });
  afterAll(async () => {
    await core.close();
    await shared.close();
  });

  const create = async (path: string, body: object) =>
    JSON.parse((await core.curl(`/api/v1/${path}`, JSON.stringify(body), operator)).text).data;
  const addProtocol = async (nodeId: number) =>
    (await create("node-protocols", { nodeId, protocol: "vless", port: 443 })).id as number;

  test("is booked when the node tells it, for 30 days, and at no other node", async () => {
    const [node, other] = [await core.enrol("one"), await core.enrol("other")];
    const [nodeProtocolId, othersId] = [await addProtocol(node.nodeId), await addProtocol(other.nodeId)];
    const { id: userId } = await create("users", { name: "a" });
    const { id: subscriptionId } = (await create("subscriptions", { userId })).subscription;
    const { db } = core.database;
    const deleted = await fetch(`${core.url}/api/v1/node-protocols/${nodeProtocolId}?force=true`, {
      method: "DELETE",
      headers: { authorization: operator.slice("authorization: ".length) },
    });
    expect(deleted.status).toBe(200);
    const report = (seq: number) =>
      JSON.stringify({
        entries: [nodeProtocolId, othersId].map((id) => ({
          ...{ userId, subscriptionId, nodeProtocolId: id, bytesUp: 3, bytesDown: 5 },
          recordedAt: new Date(clock.now).toISOString(),
        })),
        batch: { epoch: "e", seq },
      });
    const key = `x-node-auth-key: ${node.key}`;
    const told = await core.curl("/node/usage", report(1), key);
    expect(JSON.parse(told.text)).toMatchObject({ ackedSeq: 1, quarantined: 1 });
    const counted = await db.selectFrom("subscription").select(["bytes_up", "bytes_down"]).execute();
    expect(counted).toEqual([{ bytes_up: 3n, bytes_down: 5n }]);
    clock.now += 30 * 86_400_000 + 1;
    const log = { warn: (details: object) => expect.unreachable(JSON.stringify(details)) };
    const retention = new HistoryRetention({ store: createHistoryStore(core.database), now: () => clock.now, log });
    await retention.sweep();
    await retention.close();
    expect(JSON.parse((await core.curl("/node/usage", report(1).replace('"e"', '"f"'), key)).text)).toMatchObject({
      quarantined: 2,
    });
  });
});
