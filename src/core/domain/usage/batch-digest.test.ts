import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  ReportOutboundUsageRequestSchema,
  ReportSessionsRequestSchema,
  ReportUsageRequestSchema,
  type SessionEventEntrySchema,
  SessionEventType,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { VpnProtocol } from "../../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { digestOfOutboundUsage, digestOfSessions, digestOfUsage } from "./batch-digest.ts";

const usage = (...reports: MessageInitShape<typeof ReportUsageRequestSchema>[]) =>
  reports.map((report) => Buffer.from(digestOfUsage(create(ReportUsageRequestSchema, report))).toString("hex"));

test("reports of usage that differ in anything but their name have different digests", () => {
  const entry = { userId: 1n, subscriptionId: 2n, nodeProtocolId: 3n, bytesUp: 4n, bytesDown: 5n, recordedAt: "a" };
  const others = [
    { userId: 9n },
    { subscriptionId: undefined },
    { subscriptionId: 0n },
    { nodeProtocolId: 9n },
    { bytesUp: -4n },
    { bytesDown: 2n ** 62n },
    { recordedAt: "b" },
    { recordedAt: "", linkUuid: "a" },
    { linkUuid: "ä" },
    { coarse: true },
  ].map((more) => ({ entries: [{ ...entry, ...more }] }));
  const inbound = { nodeProtocolId: 3n, bytesUp: 4n, bytesDown: 5n };
  const digests = usage(
    { entries: [entry] },
    ...others,
    { entries: [] },
    { entries: [entry, entry] },
    { entries: [entry], inbounds: [inbound] },
    { entries: [entry], inbounds: [{ ...inbound, bytesUp: 5n }] },
    { entries: [{ ...entry, recordedAt: "a".repeat(100_000) }] },
  );
  expect(new Set(digests).size).toBe(digests.length);
  const [plain] = digests;
  expect(usage({ entries: [entry], batch: { epoch: "e", seq: 9n, ageMs: 7n, lostFrom: 2n } })).toEqual([plain]);
});

test("so have those of outbounds and of sessions", () => {
  const items = [[], [{ tag: "a" }], [{ tag: "b" }], [{ tag: "a", bytesUp: 1n }], [{ tag: "a", bytesDown: 1n }]];
  const others: MessageInitShape<typeof SessionEventEntrySchema>[] = [
    {},
    { userId: 2n },
    { protocol: VpnProtocol.VLESS },
    { eventType: SessionEventType.ONLINE },
    { occurredAt: "b" },
    { ipAddress: "a" },
    { sessionId: "a" },
    { nodeProtocolId: 1n },
    { subscriptionId: 1n },
    { subscriptionId: 0n },
  ];
  const digests = [
    ...items.map((of) => digestOfOutboundUsage(create(ReportOutboundUsageRequestSchema, { items: of }))),
    ...others.map((event) => digestOfSessions(create(ReportSessionsRequestSchema, { events: [event] }))),
  ].map((digest) => Buffer.from(digest).toString("hex"));
  expect(new Set(digests).size).toBe(digests.length);
});
