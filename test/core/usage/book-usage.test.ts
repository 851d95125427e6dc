import { describe, expect, test } from "vitest";
import { batch, bookedBytes, entryOf, noonMinute, usageReport } from "./reporting.ts";
import { describeBooking } from "./scene.ts";

const day = 24 * 60 * 60 * 1000;

describeBooking("usage of users", (scene) => {
  describe("a report without a batch", () => {
    test("is booked each time, in rows per minute and on the subscription's counters", async () => {
      const { fleet, booking, node, rows, subscription } = scene;
      const report = usageReport([
        entryOf(fleet, 0),
        entryOf(fleet, 1, { recordedAt: "2026-05-10T12:33:59.999+00:00" }),
      ]);
      for (let count = 0; count < 2; count += 1) {
        const answer = await booking.reportUsage(node, report);
        expect(answer).toEqual(expect.objectContaining({ ok: true, duplicate: false, quarantined: 0, leases: [] }));
        expect(answer.ackedSeq).toBeUndefined();
      }
      expect(await rows()).toEqual([
        expect.objectContaining({
          minute: noonMinute - 60_000,
          node_id: node,
          node_protocol_id: fleet.protocolIds[0],
          account_id: fleet.accountIds[1],
          subscription_id: fleet.subscriptionIds[1],
          link_uuid: "",
          bytes_up: 200n,
          bytes_down: 2000n,
          late: 0,
          coarse: 0,
        }),
        expect.objectContaining({
          minute: noonMinute,
          account_id: fleet.accountIds[0],
          bytes_up: 200n,
          bytes_down: 2000n,
        }),
      ]);
      expect(await subscription(0)).toMatchObject({ bytes_up: 200n, bytes_down: 2000n, period_bytes: 2200n });
    });

    test("may say that a user has no subscription", async () => {
      const { fleet, booking, node, rows, subscription } = scene;
      await booking.reportUsage(node, usageReport([entryOf(fleet, 0, { subscriptionId: undefined })]));
      expect(await rows()).toEqual([
        expect.objectContaining({ account_id: fleet.accountIds[0], subscription_id: 0, bytes_up: 100n }),
      ]);
      expect(await subscription(0)).toMatchObject({ bytes_up: 0n, period_bytes: 0n });
    });

    test("counts a user that was added a moment ago", async () => {
      const { database, fleet, booking, node, rows, quarantined } = scene;
      await booking.reportUsage(node, usageReport([entryOf(fleet, 0)]));
      const later = await database.db
        .insertInto("account")
        .values({ name: "later", created_at: 1 })
        .returning("id")
        .executeTakeFirstOrThrow();
      const entry = { ...entryOf(fleet, 0), userId: BigInt(later.id), subscriptionId: undefined };
      await booking.reportUsage(node, usageReport([entry]));
      expect((await rows()).map((row) => row.account_id)).toEqual([fleet.accountIds[0], later.id]);
      await database.db.deleteFrom("account").where("id", "=", later.id).execute();
      await booking.reportUsage(node, usageReport([entry]));
      expect(await quarantined()).toMatchObject([{ reason: "user unknown" }]);
    });

    test("adds up entries of one minute, whatever their order, and books a link that nobody knew as unattributed", async () => {
      const { fleet, booking, node, rows, subscription } = scene;
      const linkUuid = "0B8E3B6E-2D39-4C5E-9D77-8A1F4F0A0001";
      await booking.reportUsage(
        node,
        usageReport([
          entryOf(fleet, 1),
          entryOf(fleet, 0, { bytesUp: 2n ** 40n }),
          entryOf(fleet, 1, { bytesUp: 7n, recordedAt: "2026-05-10T12:34:59Z" }),
          entryOf(fleet, 0, { userId: 0n, linkUuid }),
        ]),
      );
      expect((await rows()).map((row) => [row.account_id, row.link_uuid, row.bytes_up, row.bytes_down])).toEqual([
        [0, linkUuid.toLowerCase(), 100n, 1000n],
        [fleet.accountIds[0], "", 2n ** 40n, 1000n],
        [fleet.accountIds[1], "", 107n, 2000n],
      ]);
      expect(await subscription(1)).toMatchObject({ period_bytes: 2107n });
    });
  });

  describe("an entry that cannot be right", () => {
    test("is kept aside with a reason, and fails nothing else", async () => {
      const { database, fleet, booking, node, quarantined } = scene;
      const [, otherProtocol = 0] = fleet.protocolIds;
      const strange: [reason: string, entry: Parameters<typeof entryOf>[2]][] = [
        ["bytes are negative", { bytesUp: -1n }],
        ["bytes are negative", { bytesDown: -(2n ** 63n) }],
        ["more bytes than the network can carry", { bytesDown: 2n ** 63n - 1n }],
        ["more bytes than the network can carry", { bytesUp: 1_500_000_000_001n }],
        ["the node has no such protocol", { nodeProtocolId: BigInt(otherProtocol) }],
        ["the node has no such protocol", { nodeProtocolId: 0n }],
        ["user unknown", { userId: 0n }],
        ["user unknown", { userId: 2n ** 53n + 1n }],
        ["subscription unknown", { subscriptionId: 0n }],
        ["linkUuid is no UUID", { linkUuid: "x\0".repeat(200) }],
        ["time cannot be read", { recordedAt: "" }],
        ["time cannot be read", { recordedAt: "yesterday" }],
        ["time cannot be read", { recordedAt: "2026-02-30T00:00:00Z" }],
        ["user unknown", { userId: 999_999n, subscriptionId: undefined }],
        ["subscription unknown", { subscriptionId: 999_999n }],
        ["subscription of another user", { subscriptionId: BigInt(fleet.subscriptionIds[1] ?? 0) }],
      ];
      const entries = [entryOf(fleet, 0), ...strange.map(([, more]) => entryOf(fleet, 0, more)), entryOf(fleet, 1)];
      const answer = await booking.reportUsage(node, usageReport(entries, batch(1)));
      expect(answer).toMatchObject({ ackedSeq: 1n, quarantined: strange.length });
      expect(await bookedBytes(database)).toEqual({ rows: [200n, 2000n], counters: [200n, 2000n] });
      const kept = await quarantined();
      expect(kept.map(({ reason }) => reason).sort()).toEqual(strange.map(([reason]) => reason).sort());
      const negative = kept.find(({ entry }) => entry.includes("-1"));
      expect(JSON.parse(negative?.entry ?? "")).toEqual({
        userId: fleet.accountIds[0],
        subscriptionId: fleet.subscriptionIds[0],
        nodeProtocolId: fleet.protocolIds[0],
        bytesUp: -1,
        bytesDown: 1000,
        recordedAt: "2026-05-10T12:34:00Z",
        linkUuid: "",
        coarse: false,
      });
      expect(Math.max(...kept.map(({ entry }) => entry.length))).toBeLessThan(600);
    });

    test("is judged by the speed of the node's network where that is known, for an hour when it stands for one", async () => {
      const { database, fleet, booking, node, rows } = scene;
      await database.db.updateTable("node").set({ rate_limit_bps: 8_000_000 }).where("id", "=", node).execute();
      const entry = (bytesDown: bigint, coarse = false) => entryOf(fleet, 0, { bytesDown, coarse });
      const report = usageReport([entry(120_000_000n), entry(120_000_001n), entry(7_200_000_000n, true)], batch(1));
      expect(await booking.reportUsage(node, report)).toMatchObject({ quarantined: 1 });
      expect(await rows()).toMatchObject([{ bytes_down: 7_320_000_000n, coarse: 1 }]);
    });
  });

  describe("times", () => {
    test("too long ago or yet to come are those of the arrival, flagged as late", async () => {
      const { fleet, booking, node, rows } = scene;
      const entries = [
        "2026-05-03T12:34:30Z", // 7 days ago
        "2026-05-03T12:34:29Z",
        "2026-05-10T12:36:30Z", // 2 minutes ahead
        "2026-05-10T12:36:31Z",
        "9999-12-31T23:59:59Z",
      ].map((recordedAt, index) => entryOf(fleet, index % 3, { recordedAt, coarse: index === 1 }));
      await booking.reportUsage(node, usageReport(entries));
      expect((await rows()).map((row) => [row.minute, row.late, row.coarse, row.bytes_up])).toEqual([
        [noonMinute - 7 * day, 0, 0, 100n],
        [noonMinute, 1, 0, 100n],
        [noonMinute, 1, 1, 200n],
        [noonMinute + 120_000, 0, 0, 100n],
      ]);
    });

    test("of a clock that is ahead are corrected by the age of the batch", async () => {
      const { fleet, booking, node, rows } = scene;
      const report = (recordedAt: string[]) =>
        usageReport(
          recordedAt.map((time) => entryOf(fleet, 0, { recordedAt: time })),
          batch(1, { ageMs: 600_000n }),
        );
      // Sealed at 12:24:30 by a clock that is three hours ahead.
      await booking.reportUsage(node, report(["2026-05-10T15:24:30Z", "2026-05-10T15:23:30Z"]));
      expect((await rows()).map((row) => [row.minute, row.late])).toEqual([
        [noonMinute - 11 * 60_000, 0],
        [noonMinute - 10 * 60_000, 0],
      ]);
    });
  });
});
