import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { NodeOutboundService } from "../../../gen/garrison/core/v1/node_outbounds_pb.ts";
import { NodeService } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { refused } from "./expectations.ts";
import { describeFleet, given } from "./scene.ts";

const outbounds = NodeOutboundService.method;
const warp = { protocol: "wireguard", settings: { secretKey: "c2VjcmV0", address: ["192.0.2.9/32"] } };

describeFleet((scene) => {
  const makeNode = async () =>
    given((await scene.call(NodeService.method.createNode, { name: scene.unused("node") })).node).id;
  const create = (request: object) => scene.call(outbounds.createNodeOutbound, request as never);
  const make = async (nodeId: bigint, tag: string, more: object = {}) =>
    given((await create({ nodeId, tag, config: JSON.stringify(warp), ...more })).nodeOutbound);

  test("outbounds stand in their order, with their counters, and without their secrets", async () => {
    const nodeId = await makeNode();
    scene.fleet.published.splice(0);
    const behind = await make(nodeId, "warp");
    const first = await make(nodeId, "block", { config: '{"protocol":"blackhole"}', position: 0, disabled: true });
    const row = { traffic_bytes_up: 2n ** 60n, traffic_bytes_down: 7n };
    await scene.fleet.database.db.updateTable("node_outbound").set(row).where("id", "=", Number(behind.id)).execute();
    const listed = (await scene.call(outbounds.listNodeOutbounds, { nodeId })).nodeOutbounds;
    expect(listed.map(({ tag, position, enabled }) => [tag, position, enabled])).toEqual([
      ["direct", 0, true],
      ["block", 0, false],
      ["warp", 1, true],
    ]);
    expect(listed[2]).toMatchObject({ bytesUp: 2n ** 60n, bytesDown: 7n });
    expect(JSON.parse(listed[2]?.config ?? "")).toEqual({
      ...warp,
      settings: { ...warp.settings, secretKey: "<secret>" },
    });
    expect((await scene.call(outbounds.getNodeOutbound, { id: first.id })).nodeOutbound).toEqual(first);
    expect(scene.fleet.published).toHaveLength(2);
    expect(scene.fleet.log()).not.toContain("c2VjcmV0");
  });

  test("outbounds of many nodes are paged in their order", async () => {
    const [one, other] = [await makeNode(), await makeNode()];
    for (const tag of ["a", "b", "c"]) {
      await make(one, tag);
      await make(other, tag, { position: 0 });
    }
    const all = await scene.call(outbounds.listNodeOutbounds, { pageSize: 1000 });
    const paged = [];
    for (let pageToken = "", pages = 0; pages === 0 || pageToken !== ""; pages++) {
      const page = await scene.call(outbounds.listNodeOutbounds, { pageSize: 3, pageToken });
      paged.push(...page.nodeOutbounds);
      pageToken = page.nextPageToken;
    }
    expect(paged).toEqual(all.nodeOutbounds);
  });

  test("bad outbounds are refused, and create nothing", async () => {
    const nodeId = await makeNode();
    const fine = { nodeId, tag: "out", config: '{"protocol":"freedom"}' };
    const invalid = (more: object, name: string) =>
      refused(create({ ...fine, ...more }), Code.InvalidArgument, 400, name);
    await invalid({ tag: "" }, "INVALID_ARGUMENT");
    await invalid({ tag: "a/b" }, "INVALID_ARGUMENT");
    await invalid({ position: -1 }, "INVALID_ARGUMENT");
    await invalid({ position: 1_000_001 }, "INVALID_ARGUMENT");
    await invalid({ config: JSON.stringify({ protocol: "x".repeat(262_144) }) }, "INVALID_ARGUMENT");
    await invalid({ tag: "Api_Inbound" }, "TAG_RESERVED");
    await invalid({ config: "" }, "CONFIG_INVALID");
    await invalid({ config: "[]" }, "CONFIG_INVALID");
    await invalid({ config: '{"protocol":"freedom","tag":"x"}' }, "CONFIG_INVALID");
    await invalid({ config: '{"protocol":"freedom","settings":1}' }, "CONFIG_INVALID");
    await refused(create({ ...fine, tag: "direct" }), Code.AlreadyExists, 409, "TAG_TAKEN");
    await refused(create({ ...fine, nodeId: 999_999n }), Code.NotFound, 404, "NODE_UNKNOWN");
    expect((await scene.call(outbounds.listNodeOutbounds, { nodeId })).nodeOutbounds).toHaveLength(1);
  });

  test("an update changes what it names, and keeps hidden secrets", async () => {
    const nodeId = await makeNode();
    const { id, config } = await make(nodeId, "warp");
    const update = (more: object) => scene.call(outbounds.updateNodeOutbound, { id, ...more });
    const edited = { ...JSON.parse(config), mux: { enabled: true } };
    const changed = await update({ tag: "cf", position: 5, enabled: false, config: JSON.stringify(edited) });
    expect(changed.nodeOutbound).toMatchObject({ tag: "cf", position: 5, enabled: false });
    const row = await scene.fleet.database.db
      .selectFrom("node_outbound")
      .select("config")
      .where("id", "=", Number(id))
      .executeTakeFirstOrThrow();
    expect(JSON.parse(row.config)).toEqual({ ...warp, mux: { enabled: true } });
    await refused(update({ tag: "direct" }), Code.AlreadyExists, 409, "TAG_TAKEN");
    await refused(update({ config: '{"protocol":""}' }), Code.InvalidArgument, 400, "CONFIG_INVALID");
    await refused(
      update({ config: '{"protocol":"socks","pass":"<secret>"}' }),
      Code.InvalidArgument,
      400,
      "CONFIG_INVALID",
    );
    await refused(update({ updateMask: { paths: ["position"] } }), Code.InvalidArgument, 400, "FIELD_INVALID");
    expect((await scene.call(outbounds.getNodeOutbound, { id })).nodeOutbound).toEqual(changed.nodeOutbound);
    expect(await scene.actions(`node-outbound:${id}`)).toEqual(["node-outbound.update", "node-outbound.create"]);
  });

  test("routing names what is there, and what it names stays", async () => {
    const nodeId = await makeNode();
    const { id } = await make(nodeId, "warp");
    scene.fleet.published.splice(0);
    const set = (more: object) => scene.call(outbounds.updateNodeRouting, { nodeId, ...more });
    const rules = JSON.stringify({ rules: [{ domain: ["geosite:a"], outboundTag: "warp" }] });
    expect((await scene.call(outbounds.getNodeRouting, { nodeId })).nodeRouting).toMatchObject({
      routing: "{}",
      extra: "{}",
    });
    await refused(set({ routing: rules.replace("warp", "wrap") }), Code.InvalidArgument, 400, "ROUTING_INVALID");
    await refused(set({ routing: "[]" }), Code.InvalidArgument, 400, "ROUTING_INVALID");
    await refused(set({ extra: '{"inbounds":{}}' }), Code.InvalidArgument, 400, "ROUTING_INVALID");
    expect(scene.fleet.published).toEqual([]);
    await set({ routing: rules, extra: '{"dns":{"servers":["1.1.1.1"]}}' });
    const kept = await scene.call(outbounds.getNodeRouting, { nodeId });
    expect(kept.nodeRouting).toMatchObject({ nodeId, routing: rules, extra: '{"dns":{"servers":["1.1.1.1"]}}' });
    expect(scene.fleet.published).toEqual([{ scope: { nodeIds: [Number(nodeId)] }, reason: "routing changed" }]);
    expect((await scene.actions(`node:${nodeId}`))[0]).toBe("node-routing.update");
    for (const more of [{ tag: "cf" }, { enabled: false }]) {
      await refused(
        scene.call(outbounds.updateNodeOutbound, { id, ...more }),
        Code.FailedPrecondition,
        409,
        "NODE_OUTBOUND_IN_USE",
      );
    }
    await refused(
      scene.call(outbounds.deleteNodeOutbound, { id }),
      Code.FailedPrecondition,
      409,
      "NODE_OUTBOUND_IN_USE",
    );
    await set({ updateMask: { paths: ["routing"] } });
    await scene.call(outbounds.deleteNodeOutbound, { id });
    const left = await scene.call(outbounds.getNodeRouting, { nodeId });
    expect(left.nodeRouting).toMatchObject({ routing: "{}", extra: '{"dns":{"servers":["1.1.1.1"]}}' });
  });

  test("what is not there is told as such by every call", async () => {
    const id = 999_999n;
    await refused(scene.call(outbounds.getNodeOutbound, { id }), Code.NotFound, 404, "NODE_OUTBOUND_UNKNOWN");
    await refused(
      scene.call(outbounds.updateNodeOutbound, { id, position: 1 }),
      Code.NotFound,
      404,
      "NODE_OUTBOUND_UNKNOWN",
    );
    await refused(scene.call(outbounds.deleteNodeOutbound, { id }), Code.NotFound, 404, "NODE_OUTBOUND_UNKNOWN");
    await refused(scene.call(outbounds.getNodeRouting, { nodeId: id }), Code.NotFound, 404, "NODE_UNKNOWN");
    await refused(scene.call(outbounds.updateNodeRouting, { nodeId: id }), Code.NotFound, 404, "NODE_UNKNOWN");
  });
});
