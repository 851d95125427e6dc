import { create } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  ReportOutboundUsageRequestSchema,
  ReportSessionsRequestSchema,
  ReportUsageRequestSchema,
  SessionEventType,
} from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { VpnProtocol } from "../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import {
  BatchMismatch,
  BatchNameInvalid,
  EpochUnknown,
  ReportTooLarge,
  SequenceGap,
} from "../../../src/core/domain/usage/situations.ts";
import type { CoreSchema } from "../../../src/core/store/schema.ts";
import type { Database } from "../../../src/platform/storage/database.ts";
import { engines, type SharedDatabase, shareDatabase } from "../shared-database.ts";
import { addFleet, type UsageFleet } from "./fleet.ts";
import { type BookingUnderTest, bookedBytes, bookingOn, entryOf, noon, noonMinute, usageReport } from "./reporting.ts";

const day = 24 * 60 * 60 * 1000;

describe.each(engines)("usage on %s", (engine) => {
  let shared: SharedDatabase;
  let database: Database<CoreSchema>;
  let fleet: UsageFleet;
  let booking: BookingUnderTest;
  let node: number;

  beforeAll(async () => {
    shared = await shareDatabase(engine);
    database = await shared.open();
  });
  afterAll(() => shared.close());
  beforeEach(async () => {
    fleet = await addFleet(database, { nodes: 2, users: 3 });
    [node = 0] = fleet.nodeIds;
    booking = bookingOn(database);
  });
  afterEach(async () => {
    for (const table of ["usage_minute", "inbound_day", "session_event", "node", "account"] as const) {
      await database.db.deleteFrom(table).execute();
    }
  });

  const rows = () =>
    database.db.selectFrom("usage_minute").selectAll().orderBy("minute").orderBy("account_id").execute();
  const subscription = (user: number) =>
    database.db
      .selectFrom("subscription")
      .selectAll()
      .where("id", "=", fleet.subscriptionIds[user] ?? 0)
      .executeTakeFirstOrThrow();
  const quarantined = () =>
    database.db.selectFrom("quarantined_entry").select(["kind", "reason", "entry"]).orderBy("id").execute();
  const setSubscription = (
    user: number,
    values: {
      quota_bytes?: bigint;
      period_bytes?: bigint;
      refused?: string;
      reset_period?: string;
      next_reset_at?: number;
      expires_at?: number;
    },
  ) =>
    database.db
      .updateTable("subscription")
      .set(values)
      .where("id", "=", fleet.subscriptionIds[user] ?? 0)
      .execute();
  const batch = (seq: number, more = {}) => ({ epoch: "e1", seq: BigInt(seq), ...more });

  describe("a report without a batch", () => {
    test("is booked each time, in rows per minute and on the subscription's counters", async () => {
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
      await booking.reportUsage(node, usageReport([entryOf(fleet, 0, { subscriptionId: undefined })]));
      expect(await rows()).toEqual([
        expect.objectContaining({ account_id: fleet.accountIds[0], subscription_id: 0, bytes_up: 100n }),
      ]);
      expect(await subscription(0)).toMatchObject({ bytes_up: 0n, period_bytes: 0n });
    });

    test("counts a user that was added a moment ago", async () => {
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

  describe("a batch", () => {
    test("is booked once however often it is sent, and its answer says how far the node can forget", async () => {
      const first = usageReport([entryOf(fleet, 0)], batch(1));
      expect(await booking.reportUsage(node, first)).toMatchObject({ ok: true, ackedSeq: 1n, duplicate: false });
      expect(await booking.reportUsage(node, first)).toMatchObject({ ok: true, ackedSeq: 1n, duplicate: true });
      expect(await booking.reportUsage(node, usageReport([entryOf(fleet, 1)], batch(2)))).toMatchObject({
        ackedSeq: 2n,
      });
      expect(await booking.reportUsage(node, first)).toMatchObject({ ackedSeq: 2n, duplicate: true });
      expect(await bookedBytes(database)).toEqual({ rows: [200n, 2000n], counters: [200n, 2000n] });
    });

    test("may be named by the header alone, which says the same", async () => {
      const report = usageReport([entryOf(fleet, 0)]);
      expect(await booking.reportUsage(node, report, "some:epoch:1")).toMatchObject({ ackedSeq: 1n, duplicate: false });
      const named = usageReport([entryOf(fleet, 0)], { epoch: "some:epoch", seq: 1n, ageMs: 5n });
      expect(await booking.reportUsage(node, named, "some:epoch:1")).toMatchObject({ ackedSeq: 1n, duplicate: true });
      await expect(booking.reportUsage(node, named, "some:epoch:2")).rejects.toThrow(BatchNameInvalid);
      await expect(booking.reportUsage(node, report, "a random id")).rejects.toThrow(BatchNameInvalid);
      expect(await bookedBytes(database)).toEqual({ rows: [100n, 1000n], counters: [100n, 1000n] });
    });

    test("with a number that stands for other entries is refused, and changes nothing", async () => {
      await booking.reportUsage(node, usageReport([entryOf(fleet, 0)], batch(1)));
      await booking.reportUsage(node, usageReport([entryOf(fleet, 0)], batch(2)));
      for (const seq of [1, 2]) {
        const other = usageReport([entryOf(fleet, 0, { bytesUp: 101n })], batch(seq));
        await expect(booking.reportUsage(node, other)).rejects.toThrow(BatchMismatch);
      }
      expect(await bookedBytes(database)).toEqual({ rows: [200n, 2000n], counters: [200n, 2000n] });
    });

    test("that is not the next one is refused with the number that is expected", async () => {
      await booking.reportUsage(node, usageReport([entryOf(fleet, 0)], batch(1)));
      const third = usageReport([entryOf(fleet, 0)], batch(3));
      await expect(booking.reportUsage(node, third)).rejects.toMatchObject({ name: "SequenceGap", expected: 2n });
      await expect(booking.reportUsage(node, third)).rejects.toThrow(SequenceGap);
      const lostLater = usageReport([entryOf(fleet, 0)], batch(5, { lostFrom: 3n }));
      await expect(booking.reportUsage(node, lostLater)).rejects.toMatchObject({ expected: 2n });
      expect(await bookedBytes(database)).toMatchObject({ rows: [100n, 1000n] });
    });

    test("may say that those before it are lost, which is noted, and goes on", async () => {
      await booking.reportUsage(node, usageReport([entryOf(fleet, 0)], batch(1)));
      const fifth = usageReport([entryOf(fleet, 0)], batch(5, { lostFrom: 1n }));
      expect(await booking.reportUsage(node, fifth)).toMatchObject({ ackedSeq: 5n, duplicate: false });
      expect(await booking.reportUsage(node, fifth)).toMatchObject({ ackedSeq: 5n, duplicate: true });
      const gaps = await database.db.selectFrom("node_stream_gap").selectAll().execute();
      expect(gaps).toMatchObject([
        { node_id: node, kind: "usage", epoch: "e1", from_seq: 2n, to_seq: 4n, noted_at: noon },
      ]);
      expect(await booking.reportUsage(node, usageReport([], batch(6)))).toMatchObject({ ackedSeq: 6n });
    });

    test("of an epoch that is not known is taken with the number 1 only; each kind and node counts by itself", async () => {
      const [, other = 0] = fleet.nodeIds;
      const report = (seq: number) => usageReport([], batch(seq));
      await expect(booking.reportUsage(node, report(2))).rejects.toThrow(EpochUnknown);
      await expect(booking.reportUsage(node, usageReport([], batch(2, { lostFrom: 1n })))).rejects.toThrow(
        EpochUnknown,
      );
      await booking.reportUsage(node, report(1));
      await expect(booking.reportUsage(other, report(2))).rejects.toThrow(EpochUnknown);
      const items = create(ReportOutboundUsageRequestSchema, { items: [], batch: batch(2) });
      await expect(booking.reportOutboundUsage(node, items)).rejects.toThrow(EpochUnknown);
      const events = create(ReportSessionsRequestSchema, { events: [], batch: batch(1) });
      expect(await booking.reportSessions(node, events)).toMatchObject({ ackedSeq: 1n });
      expect(await booking.reportUsage(node, report(2))).toMatchObject({ ackedSeq: 2n });
    });

    test("of an epoch is forgotten 30 days after the last one", async () => {
      await booking.reportUsage(node, usageReport([entryOf(fleet, 0)], batch(1)));
      booking.now = noon + 30 * day;
      expect(await booking.reportUsage(node, usageReport([], batch(2)))).toMatchObject({ ackedSeq: 2n });
      booking.now += 30 * day + 1;
      await expect(booking.reportUsage(node, usageReport([], batch(3)))).rejects.toThrow(EpochUnknown);
      expect(await booking.reportUsage(node, usageReport([], batch(1)))).toMatchObject({ duplicate: false });
    });

    test("may have numbers up to 2^63 - 1, and epochs that are odd but no control characters", async () => {
      const seq = 2n ** 63n - 1n;
      const epoch = '{"a",\\\'🙂}';
      await booking.reportUsage(node, usageReport([], { epoch, seq: 1n }));
      const last = usageReport([], { epoch, seq, lostFrom: 2n });
      expect(await booking.reportUsage(node, last)).toMatchObject({ ackedSeq: seq });
      expect(await booking.reportUsage(node, last)).toMatchObject({ ackedSeq: seq, duplicate: true });
      await expect(booking.reportUsage(node, usageReport([], { epoch: "a\0", seq: 1n }))).rejects.toThrow(
        BatchNameInvalid,
      );
    });

    test("with more entries than one may have is refused as a whole", async () => {
      const many = usageReport(Array.from({ length: 5001 }, () => entryOf(fleet, 0)));
      await expect(booking.reportUsage(node, many)).rejects.toMatchObject({ name: "ReportTooLarge", limit: 5000 });
      const events = create(ReportSessionsRequestSchema, { events: Array.from({ length: 2001 }, () => ({})) });
      await expect(booking.reportSessions(node, events)).rejects.toThrow(ReportTooLarge);
      expect(await rows()).toEqual([]);
    });
  });

  describe("an entry that cannot be right", () => {
    test("is kept aside with a reason, and fails nothing else", async () => {
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
      await database.db.updateTable("node").set({ rate_limit_bps: 8_000_000 }).where("id", "=", node).execute();
      const entry = (bytesDown: bigint, coarse = false) => entryOf(fleet, 0, { bytesDown, coarse });
      const report = usageReport([entry(120_000_000n), entry(120_000_001n), entry(7_200_000_000n, true)], batch(1));
      expect(await booking.reportUsage(node, report)).toMatchObject({ quarantined: 1 });
      expect(await rows()).toMatchObject([{ bytes_down: 7_320_000_000n, coarse: 1 }]);
    });
  });

  describe("times", () => {
    test("too long ago or yet to come are those of the arrival, flagged as late", async () => {
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

  describe("quotas", () => {
    const leases = async (report = usageReport([entryOf(fleet, 0)], batch(1))) =>
      (await booking.reportUsage(node, report)).leases.map(({ subscriptionId, bytes }) => [
        Number(subscriptionId),
        bytes,
      ]);

    test("far from their end are not mentioned; close to it what is left is shared by the nodes", async () => {
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
      await setSubscription(0, { period_bytes: 2n ** 63n - 10n });
      for (const seq of [1, 2]) await booking.reportUsage(node, usageReport([entryOf(fleet, 0)], batch(seq)));
      expect(await subscription(0)).toMatchObject({ period_bytes: 2n ** 63n - 1n, bytes_up: 200n });
    });
  });

  test("totals of inbounds are added up by day, and judged one by one", async () => {
    const [protocol = 0, other = 0] = fleet.protocolIds;
    const inbound = (nodeProtocolId: number, bytesUp: bigint) => ({
      nodeProtocolId: BigInt(nodeProtocolId),
      bytesUp,
      bytesDown: 5n,
    });
    const report = create(ReportUsageRequestSchema, {
      inbounds: [inbound(protocol, 10n), inbound(protocol, 20n), inbound(protocol, -1n), inbound(other, 1n)],
      batch: batch(1),
    });
    expect(await booking.reportUsage(node, report)).toMatchObject({ quarantined: 2 });
    const entries = [entryOf(fleet, 0), entryOf(fleet, 1), entryOf(fleet, 1, { bytesUp: -1n })];
    await booking.reportUsage(node, create(ReportUsageRequestSchema, { entries, inbounds: [inbound(protocol, 1n)] }));
    const total = { bytes_up: 31n, bytes_down: 15n, user_bytes: 2_200n };
    expect(await database.db.selectFrom("inbound_day").selectAll().execute()).toMatchObject([
      { node_id: node, day: Date.UTC(2026, 4, 10), node_protocol_id: protocol, ...total },
    ]);
  });

  test("traffic of outbounds is added to their counters, once a batch", async () => {
    const item = (tag: string, bytesUp: bigint) => ({ tag, bytesUp, bytesDown: 3n });
    const report = create(ReportOutboundUsageRequestSchema, {
      items: [
        item("direct", 10n),
        item("direct", 2n ** 40n),
        item("direct", -1n),
        item("no\0such", 1n),
        item("direct", 2n ** 51n),
      ],
      batch: batch(1),
    });
    expect(await booking.reportOutboundUsage(node, report)).toMatchObject({
      ackedSeq: 1n,
      quarantined: 3,
      duplicate: false,
    });
    expect(await booking.reportOutboundUsage(node, report)).toMatchObject({ ackedSeq: 1n, duplicate: true });
    const changed = create(ReportOutboundUsageRequestSchema, { items: [item("direct", 10n)], batch: batch(1) });
    await expect(booking.reportOutboundUsage(node, changed)).rejects.toThrow(BatchMismatch);
    const counters = await database.db
      .selectFrom("node_outbound")
      .select(["traffic_bytes_up", "traffic_bytes_down"])
      .orderBy("node_id")
      .execute();
    expect(counters).toEqual([
      { traffic_bytes_up: 2n ** 40n + 10n, traffic_bytes_down: 6n },
      { traffic_bytes_up: 0n, traffic_bytes_down: 0n },
    ]);
    expect((await quarantined()).map(({ kind, reason }) => [kind, reason])).toEqual([
      ["outbound_usage", "bytes are negative"],
      ["outbound_usage", "the node has no such outbound"],
      ["outbound_usage", "more bytes than a network can carry"],
    ]);
  });

  test("users coming and going are stored as they were told, once a batch", async () => {
    const event = {
      userId: BigInt(fleet.accountIds[0] ?? 0),
      protocol: VpnProtocol.VLESS,
      eventType: SessionEventType.ONLINE,
      occurredAt: "2026-05-10T12:34:00.5Z",
    };
    const full = {
      ...event,
      eventType: SessionEventType.OFFLINE,
      occurredAt: "2099-01-01T00:00:00Z",
      ipAddress: "2001:db8::1",
      sessionId: "s-1",
      nodeProtocolId: BigInt(fleet.protocolIds[0] ?? 0),
      subscriptionId: BigInt(fleet.subscriptionIds[0] ?? 0),
    };
    const report = create(ReportSessionsRequestSchema, {
      events: [
        event,
        full,
        { ...event, ipAddress: "no address", nodeProtocolId: 999n },
        { ...event, userId: 999_999n },
        { ...event, userId: -1n },
        { ...event, protocol: VpnProtocol.UNSPECIFIED },
        { ...event, eventType: 7 as SessionEventType },
        { ...event, occurredAt: "2026-05-10" },
      ],
      batch: batch(1),
    });
    expect(await booking.reportSessions(node, report)).toMatchObject({ ackedSeq: 1n, quarantined: 5 });
    expect(await booking.reportSessions(node, report)).toMatchObject({ ackedSeq: 1n, duplicate: true });
    const stored = await database.db.selectFrom("session_event").selectAll().orderBy("id").execute();
    const plain = {
      node_id: node,
      account_id: fleet.accountIds[0],
      protocol: "vless",
      event_type: "online",
      occurred_at: noonMinute + 500,
      ip_address: "",
      session_id: "",
      node_protocol_id: null,
      subscription_id: null,
    };
    expect(stored.map(({ id: _, ...row }) => row)).toEqual([
      plain,
      {
        ...plain,
        event_type: "offline",
        occurred_at: noon,
        ip_address: "2001:db8::1",
        session_id: "s-1",
        node_protocol_id: fleet.protocolIds[0],
        subscription_id: fleet.subscriptionIds[0],
      },
      plain,
    ]);
    expect((await quarantined()).map(({ reason }) => reason).sort()).toEqual([
      "protocol cannot be read",
      "time cannot be read",
      "type cannot be read",
      "user unknown",
      "user unknown",
    ]);
  });

  test("who came and has not gone is online, once for each session", async () => {
    const event = (eventType: SessionEventType, minute: number, more: object = {}) => ({
      userId: BigInt(fleet.accountIds[0] ?? 0),
      protocol: VpnProtocol.VLESS,
      eventType,
      occurredAt: new Date(noonMinute + minute * 60_000).toISOString(),
      ...more,
    });
    const { ONLINE, OFFLINE } = SessionEventType;
    const tell = (...events: ReturnType<typeof event>[]) =>
      booking.reportSessions(node, create(ReportSessionsRequestSchema, { events }));
    const online = async () => {
      const rows = await database.db.selectFrom("online_session").selectAll().orderBy("session_id").execute();
      return rows.map((row) => [row.session_id, (row.since - noonMinute) / 60_000, row.ip_address]);
    };
    await tell(
      event(ONLINE, -9, { sessionId: "a", ipAddress: "192.0.2.1" }),
      event(ONLINE, -8, { sessionId: "b" }),
      event(OFFLINE, -7, { sessionId: "b" }),
      event(ONLINE, -6),
      event(OFFLINE, -5),
      event(ONLINE, -4),
    );
    expect(await online()).toEqual([
      ["", -4, ""],
      ["a", -9, "192.0.2.1"],
    ]);
    await tell(event(ONLINE, -3, { sessionId: "a", ipAddress: "192.0.2.9" }), event(ONLINE, -3));
    expect(await online()).toEqual([
      ["", -4, ""],
      ["a", -9, "192.0.2.9"],
    ]);
    await tell(event(OFFLINE, -2), event(ONLINE, -1), event(OFFLINE, -1, { protocol: VpnProtocol.TROJAN }));
    expect(await online()).toEqual([
      ["", -1, ""],
      ["a", -9, "192.0.2.9"],
    ]);
    await tell(event(OFFLINE, 0, { sessionId: "a" }), event(OFFLINE, 0));
    expect(await online()).toEqual([]);
  });
});
