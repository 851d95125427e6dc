import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  ReportOutboundUsageRequestSchema,
  ReportSessionsRequestSchema,
} from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import {
  BatchMismatch,
  BatchNameInvalid,
  EpochUnknown,
  ReportTooLarge,
  SequenceGap,
} from "../../../src/core/domain/usage/situations.ts";
import { batch, bookedBytes, entryOf, noon, usageReport } from "./reporting.ts";
import { describeBooking } from "./scene.ts";

const day = 24 * 60 * 60 * 1000;

describeBooking("a batch", (scene) => {
  test("is booked once however often it is sent, and its answer says how far the node can forget", async () => {
    const { database, fleet, booking, node } = scene;
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
    const { database, fleet, booking, node } = scene;
    const report = usageReport([entryOf(fleet, 0)]);
    expect(await booking.reportUsage(node, report, "some:epoch:1")).toMatchObject({ ackedSeq: 1n, duplicate: false });
    const named = usageReport([entryOf(fleet, 0)], { epoch: "some:epoch", seq: 1n, ageMs: 5n });
    expect(await booking.reportUsage(node, named, "some:epoch:1")).toMatchObject({ ackedSeq: 1n, duplicate: true });
    await expect(booking.reportUsage(node, named, "some:epoch:2")).rejects.toThrow(BatchNameInvalid);
    await expect(booking.reportUsage(node, report, "a random id")).rejects.toThrow(BatchNameInvalid);
    expect(await bookedBytes(database)).toEqual({ rows: [100n, 1000n], counters: [100n, 1000n] });
  });

  test("with a number that stands for other entries is refused, and changes nothing", async () => {
    const { database, fleet, booking, node } = scene;
    await booking.reportUsage(node, usageReport([entryOf(fleet, 0)], batch(1)));
    await booking.reportUsage(node, usageReport([entryOf(fleet, 0)], batch(2)));
    for (const seq of [1, 2]) {
      const other = usageReport([entryOf(fleet, 0, { bytesUp: 101n })], batch(seq));
      await expect(booking.reportUsage(node, other)).rejects.toThrow(BatchMismatch);
    }
    expect(await bookedBytes(database)).toEqual({ rows: [200n, 2000n], counters: [200n, 2000n] });
  });

  test("that is not the next one is refused with the number that is expected", async () => {
    const { database, fleet, booking, node } = scene;
    await booking.reportUsage(node, usageReport([entryOf(fleet, 0)], batch(1)));
    const third = usageReport([entryOf(fleet, 0)], batch(3));
    await expect(booking.reportUsage(node, third)).rejects.toMatchObject({ name: "SequenceGap", expected: 2n });
    await expect(booking.reportUsage(node, third)).rejects.toThrow(SequenceGap);
    const lostLater = usageReport([entryOf(fleet, 0)], batch(5, { lostFrom: 3n }));
    await expect(booking.reportUsage(node, lostLater)).rejects.toMatchObject({ expected: 2n });
    expect(await bookedBytes(database)).toMatchObject({ rows: [100n, 1000n] });
  });

  test("may say that those before it are lost, which is noted, and goes on", async () => {
    const { database, fleet, booking, node } = scene;
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
    const { fleet, booking, node } = scene;
    const [, other = 0] = fleet.nodeIds;
    const report = (seq: number) => usageReport([], batch(seq));
    await expect(booking.reportUsage(node, report(2))).rejects.toThrow(EpochUnknown);
    await expect(booking.reportUsage(node, usageReport([], batch(2, { lostFrom: 1n })))).rejects.toThrow(EpochUnknown);
    await booking.reportUsage(node, report(1));
    await expect(booking.reportUsage(other, report(2))).rejects.toThrow(EpochUnknown);
    const items = create(ReportOutboundUsageRequestSchema, { items: [], batch: batch(2) });
    await expect(booking.reportOutboundUsage(node, items)).rejects.toThrow(EpochUnknown);
    const events = create(ReportSessionsRequestSchema, { events: [], batch: batch(1) });
    expect(await booking.reportSessions(node, events)).toMatchObject({ ackedSeq: 1n });
    expect(await booking.reportUsage(node, report(2))).toMatchObject({ ackedSeq: 2n });
  });

  test("of an epoch is forgotten 30 days after the last one", async () => {
    const { fleet, booking, node } = scene;
    await booking.reportUsage(node, usageReport([entryOf(fleet, 0)], batch(1)));
    booking.now = noon + 30 * day;
    expect(await booking.reportUsage(node, usageReport([], batch(2)))).toMatchObject({ ackedSeq: 2n });
    booking.now += 30 * day + 1;
    await expect(booking.reportUsage(node, usageReport([], batch(3)))).rejects.toThrow(EpochUnknown);
    expect(await booking.reportUsage(node, usageReport([], batch(1)))).toMatchObject({ duplicate: false });
  });

  test("may have numbers up to 2^63 - 1, and epochs that are odd but no control characters", async () => {
    const { booking, node } = scene;
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
    const { fleet, booking, node, rows } = scene;
    const many = usageReport(Array.from({ length: 5001 }, () => entryOf(fleet, 0)));
    await expect(booking.reportUsage(node, many)).rejects.toMatchObject({ name: "ReportTooLarge", limit: 5000 });
    const events = create(ReportSessionsRequestSchema, { events: Array.from({ length: 2001 }, () => ({})) });
    await expect(booking.reportSessions(node, events)).rejects.toThrow(ReportTooLarge);
    expect(await rows()).toEqual([]);
  });
});
