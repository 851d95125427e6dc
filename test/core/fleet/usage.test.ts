import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { beforeAll, expect, test } from "vitest";
import { SessionEventType } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { NodeService } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { UsageDimension, UsageInterval, type UsageRow, UsageService } from "../../../gen/garrison/core/v1/usage_pb.ts";
import { VpnProtocol } from "../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { refused } from "./expectations.ts";
import { describeFleet, given } from "./scene.ts";

const usage = UsageService.method;
const [minute, hour, day] = [60_000, 3_600_000, 86_400_000];
const start = Date.parse("2026-11-20T00:00:00Z");
const { USER, SUBSCRIPTION, NODE, NODE_PROTOCOL } = UsageDimension;

describeFleet((scene) => {
  // Ids of its own for each way, which share a database.
  const base = () => (scene.way === "connect" ? 1_000 : 2_000);
  const from = timestampFromMs(start);
  const to = timestampFromMs(start + 2 * day);

  beforeAll(async () => {
    const rows = [];
    for (const user of [1, 2])
      for (const node of [1, 2])
        for (const at of [0, minute, hour, day])
          rows.push({
            minute: start + at,
            node_id: base() + node,
            node_protocol_id: base() + 10 * node,
            account_id: base() + user,
            subscription_id: base() + 100 * user,
            bytes_up: BigInt(user * 10 + node),
            bytes_down: 2n ** 58n,
          });
    await scene.fleet.database.db.insertInto("usage_minute").values(rows).execute();
  });

  const query = async (more: object) => {
    const filters = {
      from,
      to,
      ...(!("userId" in more || "nodeId" in more) && { userId: BigInt(base() + 1) }),
      ...more,
    };
    return (await scene.call(usage.queryUsage, filters)).rows;
  };
  const brief = (rows: readonly UsageRow[]) =>
    rows.map((row) => [
      row.from === undefined ? undefined : (timestampMs(row.from) - start) / minute,
      ...[row.userId, row.subscriptionId, row.nodeId, row.nodeProtocolId].map((id) =>
        id === 0n ? 0 : Number(id) - base(),
      ),
      Number(row.bytesUp),
    ]);

  test("all of a user is one row, to the byte", async () => {
    const [row, ...others] = await query({});
    expect(others).toEqual([]);
    expect(row).toMatchObject({ userId: 0n, nodeId: 0n, bytesUp: 92n, bytesDown: 8n * 2n ** 58n });
    expect(row?.from).toBeUndefined();
  });

  test.each([
    [
      "node",
      { groupBy: [NODE] },
      [
        [undefined, 0, 0, 1, 0, 44],
        [undefined, 0, 0, 2, 0, 48],
      ],
    ],
    ["protocol of one node", { groupBy: [NODE_PROTOCOL], nodeId: true }, [[undefined, 0, 0, 0, 10, 128]]],
    [
      "user and subscription",
      { groupBy: [SUBSCRIPTION, USER], nodeId: true },
      [
        [undefined, 1, 100, 0, 0, 44],
        [undefined, 2, 200, 0, 0, 84],
      ],
    ],
    [
      "day",
      { interval: UsageInterval.DAY },
      [
        [0, 0, 0, 0, 0, 69],
        [1440, 0, 0, 0, 0, 23],
      ],
    ],
    [
      "hour",
      { interval: UsageInterval.HOUR },
      [
        [0, 0, 0, 0, 0, 46],
        [60, 0, 0, 0, 0, 23],
        [1440, 0, 0, 0, 0, 23],
      ],
    ],
    [
      "minute and node",
      { interval: UsageInterval.MINUTE, groupBy: [NODE], to: timestampFromMs(start + hour) },
      [
        [0, 0, 0, 1, 0, 11],
        [0, 0, 0, 2, 0, 12],
        [1, 0, 0, 1, 0, 11],
        [1, 0, 0, 2, 0, 12],
      ],
    ],
  ])("usage is added up by %s", async (_what, request, rows) => {
    const filters = "nodeId" in request ? { ...request, nodeId: BigInt(base() + 1) } : request;
    expect(brief(await query(filters))).toEqual(rows);
  });

  test("filters narrow what is added up", async () => {
    expect(await query({ nodeId: BigInt(base() + 1), userId: BigInt(base() + 2) })).toMatchObject([{ bytesUp: 84n }]);
    expect(await query({ subscriptionId: BigInt(base() + 100) })).toMatchObject([{ bytesUp: 92n }]);
    expect(await query({ nodeProtocolId: BigInt(base() + 20) })).toMatchObject([{ bytesUp: 48n }]);
    expect(await query({ subscriptionId: 999_999n })).toEqual([]);
    expect(await query({ from: timestampFromMs(start + minute), to: timestampFromMs(start + hour) })).toMatchObject([
      { bytesUp: 23n },
    ]);
  });

  test("without times it is the last 30 days until now", async () => {
    const counted = async () => (await scene.call(usage.queryUsage, { userId: BigInt(base() + 1) })).rows;
    const { time } = scene.fleet;
    expect(await counted()).toMatchObject([{ bytesUp: 92n }]);
    scene.fleet.time = start + 30 * day + minute;
    expect(await counted()).toMatchObject([{ bytesUp: 69n }]);
    scene.fleet.time = start + 40 * day;
    expect(await counted()).toEqual([]);
    scene.fleet.time = time;
  });

  test("pages go on where the last one ended", async () => {
    const request = { from, to, userId: BigInt(base() + 1), groupBy: [NODE, USER], interval: UsageInterval.HOUR };
    const { rows: whole } = await scene.call(usage.queryUsage, request);
    expect(whole).toHaveLength(6);
    const rows = [];
    for (let pageToken = "", page = 0; page === 0 || pageToken !== ""; page++) {
      const answer = await scene.call(usage.queryUsage, { ...request, pageSize: 4, pageToken });
      rows.push(...answer.rows);
      pageToken = answer.nextPageToken;
    }
    expect(rows).toEqual(whole);
  });

  test.each([
    ["a large page", { pageSize: 10_001 }, "INVALID_ARGUMENT"],
    ["a negative id", { userId: -1n }, "INVALID_ARGUMENT"],
    ["a dimension twice", { groupBy: [NODE, NODE] }, "INVALID_ARGUMENT"],
    ["no dimension among them", { groupBy: [UsageDimension.UNSPECIFIED] }, "INVALID_ARGUMENT"],
    ["an end before the beginning", { from: to, to: from }, "FIELD_INVALID"],
    ["a token that is none", { pageToken: "x" }, "PAGE_TOKEN_INVALID"],
  ])("%s is refused", async (_what, request, name) => {
    await refused(scene.call(usage.queryUsage, request), Code.InvalidArgument, 400, name);
  });

  test("session events are listed, the newest first, by user, node, protocol, type and time", async () => {
    const node = given((await scene.call(NodeService.method.createNode, { name: scene.unused("node") })).node).id;
    const user = BigInt(base() + 1);
    const event = { node_id: Number(node), account_id: Number(user), protocol: "vless", subscription_id: base() + 100 };
    for (const row of [
      { ...event, event_type: "online", occurred_at: start, ip_address: "192.0.2.3", session_id: "s" },
      { ...event, event_type: "offline", occurred_at: start + minute, node_protocol_id: 5 },
      { ...event, event_type: "online", occurred_at: start + hour, protocol: "mtproto", account_id: Number(user) + 1 },
    ]) {
      await scene.fleet.database.db.insertInto("session_event").values(row).execute();
    }
    const list = async (more: object) =>
      (await scene.call(usage.listSessionEvents, { nodeId: node, ...more })).sessionEvents;
    const all = await list({});
    expect(all).toMatchObject([
      { userId: user + 1n, protocol: VpnProtocol.MTPROTO, eventType: SessionEventType.ONLINE },
      { userId: user, eventType: SessionEventType.OFFLINE, nodeProtocolId: 5n, ipAddress: "" },
      { userId: user, ipAddress: "192.0.2.3", sessionId: "s", subscriptionId: BigInt(base() + 100), occurredAt: from },
    ]);
    expect(await list({ userId: user })).toEqual(all.slice(1));
    expect(await list({ subscriptionId: 999_999n })).toEqual([]);
    expect(await list({ protocol: VpnProtocol.MTPROTO })).toEqual(all.slice(0, 1));
    expect(await list({ eventType: SessionEventType.OFFLINE })).toEqual(all.slice(1, 2));
    expect(await list({ from: timestampFromMs(start + minute), to: timestampFromMs(start + hour) })).toEqual(
      all.slice(1, 2),
    );
    const first = await scene.call(usage.listSessionEvents, { nodeId: node, pageSize: 2 });
    const { sessionEvents } = await scene.call(usage.listSessionEvents, {
      nodeId: node,
      pageSize: 2,
      pageToken: first.nextPageToken,
    });
    expect([...first.sessionEvents, ...sessionEvents]).toEqual(all);
  });

  test("who is online is listed in pages, by user, subscription, node and protocol, but not at nodes that are away", async () => {
    const { db } = scene.fleet.database;
    const makeNode = async (last_seen_at: number) => {
      const { id } = given((await scene.call(NodeService.method.createNode, { name: scene.unused("node") })).node);
      await db.updateTable("node").set({ last_seen_at }).where("id", "=", Number(id)).execute();
      return id;
    };
    const [node, away] = [await makeNode(scene.fleet.time), await makeNode(scene.fleet.time - 5 * minute)];
    const user = base() + 50;
    const session = { account_id: user, protocol: "vless", since: start, ip_address: "192.0.2.3", session_id: "s" };
    const rest = { subscription_id: base() + 100, node_protocol_id: 5 };
    for (const row of [
      { ...session, ...rest, node_id: Number(node) },
      { ...session, node_id: Number(node), protocol: "mtproto", session_id: "", ip_address: "" },
      { ...session, node_id: Number(node), account_id: user + 1 },
      { ...session, ...rest, node_id: Number(away) },
    ])
      await db.insertInto("online_session").values(row).execute();
    const list = async (more: object) =>
      (await scene.call(usage.listOnlineSessions, { nodeId: node, ...more })).onlineSessions;
    const all = await list({});
    expect(all).toMatchObject([
      {
        ...{ userId: BigInt(user), nodeId: node, protocol: VpnProtocol.VLESS, since: from, sessionId: "s" },
        ...{ ipAddress: "192.0.2.3", subscriptionId: BigInt(base() + 100), nodeProtocolId: 5n },
      },
      { userId: BigInt(user), protocol: VpnProtocol.MTPROTO, sessionId: "", ipAddress: "", subscriptionId: 0n },
      { userId: BigInt(user + 1) },
    ]);
    expect(await list({ nodeId: away })).toEqual([]);
    expect(await list({ userId: BigInt(user), nodeId: 0n })).toEqual(all.slice(0, 2));
    expect(await list({ subscriptionId: BigInt(base() + 100) })).toEqual(all.slice(0, 1));
    expect(await list({ protocol: VpnProtocol.MTPROTO })).toEqual(all.slice(1, 2));
    const first = await scene.call(usage.listOnlineSessions, { nodeId: node, pageSize: 2 });
    const { nextPageToken: pageToken } = first;
    const second = await scene.call(usage.listOnlineSessions, { nodeId: node, pageSize: 2, pageToken });
    expect([...first.onlineSessions, ...second.onlineSessions]).toEqual(all);
    expect(second.nextPageToken).toBe("");
  });

  test("inbounds are compared with their users, by day", async () => {
    const mib = 2n ** 20n;
    const node = base() + 70;
    const row = (day_: number, node_protocol_id: number, inbound: bigint, user_bytes: bigint) => ({
      ...{ node_id: node, day: start + day_ * day, node_protocol_id, user_bytes },
      ...{ bytes_up: inbound / 2n, bytes_down: inbound - inbound / 2n },
    });
    await scene.fleet.database.db
      .insertInto("inbound_day")
      .values([
        row(0, 2, 1_000n * mib, 960n * mib),
        row(0, 1, 1_000n * mib, 700n * mib),
        row(1, 1, 10n * mib, 0n),
        row(1, 2, 0n, 100n * mib),
        row(9, 1, 1n, 1n),
      ])
      .execute();
    const compare = (more: object) =>
      scene.call(usage.compareInboundUsage, { nodeId: BigInt(node), from, to, ...more });
    const { rows } = await compare({});
    expect(rows.map((each) => [Number(each.nodeProtocolId), each.drifts])).toEqual([
      [1, true],
      [2, false],
      [1, false],
    ]);
    expect(rows[0]).toMatchObject({ day: from, inboundBytes: 1_000n * mib, userBytes: 700n * mib });
    expect((await compare({ from: timestampFromMs(start + hour), to: timestampFromMs(start + day) })).rows).toEqual(
      rows.slice(0, 2),
    );
    const first = await compare({ pageSize: 2 });
    expect(first.rows).toEqual(rows.slice(0, 2));
    expect((await compare({ pageSize: 2, pageToken: first.nextPageToken })).rows).toEqual(rows.slice(2));
    await refused(compare({ from: to, to: from }), Code.InvalidArgument, 400, "FIELD_INVALID");
  });
});
