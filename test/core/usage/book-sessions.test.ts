import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ReportSessionsRequestSchema, SessionEventType } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { VpnProtocol } from "../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { batch, noon, noonMinute } from "./reporting.ts";
import { describeBooking } from "./scene.ts";

describeBooking("sessions", (scene) => {
  test("users coming and going are stored as they were told, once a batch", async () => {
    const { database, fleet, booking, node, quarantined } = scene;
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
    const { database, fleet, booking, node } = scene;
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
