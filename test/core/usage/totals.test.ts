import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  ReportOutboundUsageRequestSchema,
  ReportUsageRequestSchema,
} from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { BatchMismatch } from "../../../src/core/domain/usage/situations.ts";
import { batch, entryOf } from "./reporting.ts";
import { describeBooking } from "./scene.ts";

describeBooking("totals", (scene) => {
  test("of inbounds are added up by day, and judged one by one", async () => {
    const { database, fleet, booking, node } = scene;
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

  test("of outbounds are added to their counters, once a batch", async () => {
    const { database, booking, node, quarantined } = scene;
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
});
