import { expect, test } from "vitest";
import { batch, entryOf, noon, usageReport } from "./reporting.ts";
import { describeBooking } from "./scene.ts";

const day = 24 * 60 * 60 * 1000;

describeBooking("quotas", (scene) => {
  const leases = async (report = usageReport([entryOf(scene.fleet, 0)], batch(1))) =>
    (await scene.booking.reportUsage(scene.node, report)).leases.map(({ subscriptionId, bytes }) => [
      Number(subscriptionId),
      bytes,
    ]);

  test("far from their end are not mentioned; close to it what is left is shared by the nodes", async () => {
    const { fleet, booking, setSubscription } = scene;
    const gigabyte = 10n ** 9n;
    await setSubscription(0, { quota_bytes: 100n * gigabyte, period_bytes: 10n * gigabyte });
    expect(await leases()).toEqual([]);
    await setSubscription(0, { period_bytes: 99n * gigabyte });
    expect(await leases(usageReport([entryOf(fleet, 0)], batch(2)))).toEqual([
      [fleet.subscriptionIds[0], (gigabyte - 1100n) / 2n],
    ]);
    expect(booking.published).toEqual([]);
  });

  test("that are used up refuse the subscription on all nodes, once, and grant no more", async () => {
    const { database, fleet, booking, subscription, setSubscription } = scene;
    await setSubscription(0, { quota_bytes: 5000n, period_bytes: 3900n });
    expect(await leases(usageReport([entryOf(fleet, 0), entryOf(fleet, 1)], batch(1)))).toEqual([
      [fleet.subscriptionIds[0], 0n],
    ]);
    expect(await subscription(0)).toMatchObject({ refused: "quota", period_bytes: 5000n });
    expect(await leases(usageReport([entryOf(fleet, 0)], batch(2)))).toEqual([[fleet.subscriptionIds[0], 0n]]);
    expect(booking.published).toEqual([{ subscriptionIds: [fleet.subscriptionIds[0]] }]);
    // With the refusal, so that nodes are told even when this process is not there any more.
    const noted = await database.db.selectFrom("node_publication").select(["node_id", "reason"]).execute();
    expect(noted.map((row) => row.node_id).sort()).toEqual([...fleet.nodeIds].sort());
    expect(noted.map((row) => row.reason)).toEqual(["quota", "quota"]);
    expect(await subscription(1)).toMatchObject({ refused: "" });
  });

  test("begin anew when their period has ended, and let the subscription in again unless it has expired", async () => {
    const { fleet, booking, node, subscription, setSubscription } = scene;
    const may10 = Date.UTC(2026, 4, 10);
    const terms = { quota_bytes: 5000n, period_bytes: 6000n, refused: "quota", reset_period: "day" };
    await setSubscription(0, { ...terms, next_reset_at: may10 - 2 * day });
    await setSubscription(1, { ...terms, next_reset_at: may10, expires_at: noon - 1 });
    await booking.reportUsage(node, usageReport([entryOf(fleet, 0), entryOf(fleet, 1)], batch(1)));
    const period = { period_bytes: 1100n, period_started_at: may10, next_reset_at: may10 + day };
    expect(await subscription(0)).toMatchObject({ ...period, refused: "", bytes_down: 1000n });
    expect(await subscription(1)).toMatchObject({ ...period, refused: "expired" });
    expect(booking.published).toEqual([{ subscriptionIds: fleet.subscriptionIds.slice(0, 2) }]);
  });

  test("count no further than 2^63 - 1, where counters stay", async () => {
    const { fleet, booking, node, subscription, setSubscription } = scene;
    await setSubscription(0, { period_bytes: 2n ** 63n - 10n });
    for (const seq of [1, 2]) await booking.reportUsage(node, usageReport([entryOf(fleet, 0)], batch(seq)));
    expect(await subscription(0)).toMatchObject({ period_bytes: 2n ** 63n - 1n, bytes_up: 200n });
  });
});
