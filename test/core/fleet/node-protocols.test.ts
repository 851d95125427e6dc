import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { NodeOutboundService } from "../../../gen/garrison/core/v1/node_outbounds_pb.ts";
import { NodeProtocolService } from "../../../gen/garrison/core/v1/node_protocols_pb.ts";
import { NodeService } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionService } from "../../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserService } from "../../../gen/garrison/core/v1/users_pb.ts";
import { VpnProtocol } from "../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { publicKeyOf } from "../../../src/core/domain/wireguard/wireguard-keys.ts";
import { refused } from "./expectations.ts";
import { describeFleet, given } from "./scene.ts";

const protocols = NodeProtocolService.method;
const tls = { security: "tls", tlsSettings: { certificates: [{ certificateFile: "/c", keyFile: "/k" }] } };
const reality = {
  network: "raw",
  security: "reality",
  realitySettings: { target: "example.org:443", serverNames: ["example.org"] },
};

describeFleet((scene) => {
  const makeNode = async () =>
    given((await scene.call(NodeService.method.createNode, { name: scene.unused("node") })).node).id;
  const rowOf = (id: bigint) =>
    scene.fleet.database.db
      .selectFrom("node_protocol")
      .selectAll()
      .where("id", "=", Number(id))
      .executeTakeFirstOrThrow();

  test("every protocol that nodes serve is created, read, listed, and noted", async () => {
    const nodeId = await makeNode();
    scene.fleet.published.splice(0);
    const settings: [VpnProtocol, object][] = [
      [VpnProtocol.VLESS, { settings: { flow: "xtls-rprx-vision" }, streamSettings: reality }],
      [VpnProtocol.VMESS, { streamSettings: { network: "ws", wsSettings: { path: "/" } } }],
      [VpnProtocol.TROJAN, { streamSettings: { network: "raw", ...tls } }],
      [VpnProtocol.SHADOWSOCKS, { settings: { method: "2022-blake3-aes-128-gcm" } }],
      [VpnProtocol.HYSTERIA2, { streamSettings: { network: "hysteria", ...tls } }],
      [VpnProtocol.MTPROTO, { modes: ["tls"], tlsDomains: ["example.org"] }],
      [VpnProtocol.WIREGUARD, {}],
    ];
    const made = [];
    for (const [index, [protocol, each]] of settings.entries()) {
      const request = { nodeId, protocol, port: 1000 + index, remark: "Für <alle>", settings: JSON.stringify(each) };
      const { nodeProtocol } = await scene.call(protocols.createNodeProtocol, request);
      made.push(given(nodeProtocol));
    }
    expect(made.map(({ tag }) => tag)).toEqual([
      "vless-1000",
      "vmess-1001",
      "trojan-1002",
      "shadowsocks-1003",
      "hysteria2-1004",
      "mtproto-1005",
      "wg0",
    ]);
    expect((await scene.call(protocols.listNodeProtocols, { nodeId })).nodeProtocols).toEqual(made);
    expect(
      (await scene.call(protocols.listNodeProtocols, { nodeId, protocol: VpnProtocol.TROJAN })).nodeProtocols,
    ).toEqual([made[2]]);
    expect((await scene.call(protocols.listNodeProtocols, { nodeId, enabled: false })).nodeProtocols).toEqual([]);
    const [vless] = made;
    if (vless === undefined) throw new Error("nothing was made");
    expect(await scene.call(protocols.getNodeProtocol, { id: vless.id })).toMatchObject({ nodeProtocol: vless });
    expect(vless).toMatchObject({ enabled: true, realityPublicKey: expect.stringMatching(/^[\w-]{43}$/) });
    expect(scene.fleet.published).toHaveLength(made.length);
    expect(scene.fleet.published[0]?.scope).toEqual({ nodeIds: [Number(nodeId)] });
    expect(await scene.actions(`node-protocol:${vless.id}`)).toEqual(["node-protocol.create"]);
  });

  test("secrets in settings are kept, never shown, and stay when they are sent back hidden", async () => {
    const nodeId = await makeNode();
    const request = {
      nodeId,
      protocol: VpnProtocol.VLESS,
      port: 443,
      settings: JSON.stringify({ streamSettings: reality }),
    };
    const { id, settings } = given((await scene.call(protocols.createNodeProtocol, request)).nodeProtocol);
    const kept = JSON.parse((await rowOf(id)).settings);
    const { privateKey } = kept.streamSettings.realitySettings;
    expect(privateKey).toMatch(/^[\w-]{43}$/);
    expect(JSON.parse(settings).streamSettings.realitySettings.privateKey).toBe("<secret>");
    const edited = JSON.parse(settings);
    edited.sniffing = { enabled: true };
    await scene.call(protocols.updateNodeProtocol, { id, settings: JSON.stringify(edited) });
    expect(JSON.parse((await rowOf(id)).settings)).toEqual({ ...kept, sniffing: { enabled: true } });
    expect(scene.fleet.log()).not.toContain(privateKey);
    edited.settings = { password: "<secret>" };
    const misplaced = { id, settings: JSON.stringify(edited) };
    const sentence = await refused(
      scene.call(protocols.updateNodeProtocol, misplaced),
      Code.InvalidArgument,
      400,
      "SETTINGS_INVALID",
    );
    expect(sentence).toBe("settings: settings.password: there was no secret at this place to be kept");
  });

  test("bad creations are refused, each with its reason, and create nothing", async () => {
    const nodeId = await makeNode();
    const fine = { nodeId, protocol: VpnProtocol.VLESS, port: 443 };
    await scene.call(protocols.createNodeProtocol, { ...fine, tag: "first" });
    const published = scene.fleet.published.length;
    const create = (more: object) => scene.call(protocols.createNodeProtocol, { ...fine, port: 444, ...more });
    const invalid = (more: object, name = "INVALID_ARGUMENT") => refused(create(more), Code.InvalidArgument, 400, name);
    await invalid({ nodeId: 0n });
    await invalid({ protocol: VpnProtocol.UNSPECIFIED });
    await invalid({ tag: "a b" });
    await invalid({ tag: "x".repeat(65) });
    await invalid({ remark: "x".repeat(129) });
    await invalid({ listen: "localhost" });
    await invalid({ port: 0 });
    await invalid({ port: 65_536 });
    await invalid({ settings: JSON.stringify({ sniffing: { x: "x".repeat(262_144) } }) });
    await invalid({ linkSettings: JSON.stringify({ x: "x".repeat(65_536) }) });
    await invalid({ tag: "API" }, "TAG_RESERVED");
    await invalid({ settings: "[]" }, "SETTINGS_INVALID");
    await invalid({ linkSettings: "1" }, "SETTINGS_INVALID");
    for (const [linkSettings, sentence] of [
      [{ SNI: "a.example" }, "SNI: is none of host, port, sni, hostHeader, path, fingerprint, alpn, allowInsecure"],
      [{ constructor: 1 }, /constructor: is none of/],
      [{ host: "https://a.example" }, "host: is no host name and no address"],
      [{ port: "x" }, "port: is no port, 1 to 65535"],
      [{ port: 65_536 }, /port: /],
      [{ sni: ["a.example"] }, "sni: is no text"],
      [{ alpn: [1] }, "alpn: is no list of texts"],
      [{ allowInsecure: "yes" }, "allowInsecure: is neither true nor false"],
    ] as const)
      expect(await invalid({ linkSettings: JSON.stringify(linkSettings) }, "SETTINGS_INVALID")).toMatch(sentence);
    await invalid({ settings: '{"port":1}' }, "SETTINGS_INVALID");
    await refused(create({ tag: "first" }), Code.AlreadyExists, 409, "TAG_TAKEN");
    await refused(create({ tag: "direct" }), Code.AlreadyExists, 409, "TAG_TAKEN");
    await refused(create({ port: 443 }), Code.AlreadyExists, 409, "PORT_TAKEN");
    await refused(create({ port: 443, listen: "192.0.2.1" }), Code.AlreadyExists, 409, "PORT_TAKEN");
    await refused(create({ nodeId: 999_999n }), Code.NotFound, 404, "NODE_UNKNOWN");
    expect((await scene.call(protocols.listNodeProtocols, { nodeId })).nodeProtocols).toHaveLength(1);
    expect(scene.fleet.published).toHaveLength(published);
    const udp = {
      protocol: VpnProtocol.HYSTERIA2,
      port: 443,
      settings: JSON.stringify({ streamSettings: { network: "hysteria", ...tls } }),
    };
    await create(udp);
  });

  test("an update changes what it names; another protocol's port and tag are refused", async () => {
    const nodeId = await makeNode();
    const make = async (port: number) =>
      given(
        (
          await scene.call(protocols.createNodeProtocol, {
            nodeId,
            protocol: VpnProtocol.VMESS,
            port,
            listen: "192.0.2.1",
          })
        ).nodeProtocol,
      );
    const [one, other] = [await make(1), await make(2)];
    const { id } = one;
    const update = (more: object) => scene.call(protocols.updateNodeProtocol, { id, ...more });
    await refused(update({ tag: other.tag }), Code.AlreadyExists, 409, "TAG_TAKEN");
    await refused(update({ port: 2 }), Code.AlreadyExists, 409, "PORT_TAKEN");
    await refused(update({ tag: "garrison-a" }), Code.InvalidArgument, 400, "TAG_RESERVED");
    await refused(update({ updateMask: { paths: ["port"] } }), Code.InvalidArgument, 400, "FIELD_INVALID");
    await refused(update({ port: 65_536 }), Code.InvalidArgument, 400, "INVALID_ARGUMENT");
    expect((await scene.call(protocols.getNodeProtocol, { id })).nodeProtocol).toEqual(one);
    const changed = await update({
      tag: "main",
      port: 3,
      enabled: false,
      linkSettings: '{"sni":"a.example"}',
      updateMask: { paths: ["tag", "port", "enabled", "link_settings", "listen"] },
    });
    expect(changed.nodeProtocol).toMatchObject({
      tag: "main",
      port: 3,
      enabled: false,
      listen: "",
      linkSettings: '{"sni":"a.example"}',
    });
    await refused(
      scene.call(protocols.updateNodeProtocol, { id: 999_999n, port: 1 }),
      Code.NotFound,
      404,
      "NODE_PROTOCOL_UNKNOWN",
    );
    expect(await scene.actions(`node-protocol:${id}`)).toEqual(["node-protocol.update", "node-protocol.create"]);
  });

  test("a node has one interface of WireGuard, with a name that interfaces can have, on all addresses", async () => {
    const nodeId = await makeNode();
    const fine = { nodeId, protocol: VpnProtocol.WIREGUARD, port: 51_820 };
    const create = (more: object = {}) => scene.call(protocols.createNodeProtocol, { ...fine, ...more });
    const invalid = (more: object) => refused(create(more), Code.InvalidArgument, 400, "FIELD_INVALID");
    for (const tag of ["a".repeat(16), "-wg", "..", "_"])
      expect(await invalid({ tag })).toMatch(/^tag: names an interface/);
    for (const tag of ["all", "default", "lo"])
      expect(await invalid({ tag })).toBe(`tag: no interface can be named ${tag}`);
    expect(await invalid({ listen: "192.0.2.1" })).toMatch(/^listen: WireGuard listens on all addresses/);
    const hysteria = { streamSettings: { network: "hysteria", ...tls } };
    await scene.call(protocols.createNodeProtocol, { nodeId, protocol: VpnProtocol.VLESS, port: 51_820 });
    await scene.call(protocols.createNodeProtocol, {
      ...{ nodeId, protocol: VpnProtocol.HYSTERIA2, port: 443, settings: JSON.stringify(hysteria) },
    });
    await refused(create({ port: 443 }), Code.AlreadyExists, 409, "PORT_TAKEN");
    const made = given((await create({ settings: '{"preSharedKey":true}' })).nodeProtocol);
    expect(made).toMatchObject({ tag: "wg0", port: 51_820, addressesTotal: 65_533, addressesGiven: 0 });
    expect(JSON.parse(made.settings)).toMatchObject({ privateKey: "<secret>", preSharedKey: "<secret>" });
    const { privateKey } = JSON.parse((await rowOf(made.id)).settings);
    const publicKey = publicKeyOf(privateKey);
    expect(made.wireguardPublicKey).toBe(publicKey);
    expect(await refused(create({ port: 1 }), Code.AlreadyExists, 409, "WIREGUARD_TAKEN")).toContain("wg0");
    const update = (more: object) => scene.call(protocols.updateNodeProtocol, { id: made.id, ...more });
    await refused(update({ tag: "a.name.too.long.." }), Code.InvalidArgument, 400, "FIELD_INVALID");
    await refused(update({ listen: "::" }), Code.InvalidArgument, 400, "FIELD_INVALID");
    const renamed = given((await update({ tag: "tunnel-1", settings: made.settings })).nodeProtocol);
    expect(renamed).toMatchObject({ tag: "tunnel-1", wireguardPublicKey: publicKey, settings: made.settings });
    await scene.call(protocols.deleteNodeProtocol, { id: made.id });
    expect((await create({ port: 2 })).nodeProtocol).toMatchObject({ tag: "wg0" });
    for (const { wireguardPublicKey, addressesTotal, protocol } of (
      await scene.call(protocols.listNodeProtocols, { nodeId })
    ).nodeProtocols) {
      expect([wireguardPublicKey !== "", addressesTotal > 0]).toEqual(
        Array(2).fill(protocol === VpnProtocol.WIREGUARD),
      );
    }
  });

  test("a change of WireGuard's settings leaves keys and ranges as they are, unless it says otherwise", async () => {
    const wireguard = { nodeId: await makeNode(), protocol: VpnProtocol.WIREGUARD, port: 51_820 };
    const settings = '{"preSharedKey":true}';
    const { id } = given((await scene.call(protocols.createNodeProtocol, { ...wireguard, settings })).nodeProtocol);
    const stored = async () => JSON.parse((await rowOf(id)).settings);
    const change = (settings: object) =>
      scene.call(protocols.updateNodeProtocol, { id, settings: JSON.stringify(settings) });
    const before = await stored();
    await change({ mtu: 1_380 });
    expect(await stored()).toEqual({ ...before, mtu: 1_380 });
    await change({ preSharedKey: "", addressPools: ["10.0.0.0/8"] });
    const { preSharedKey, dns, ...kept } = before;
    expect(await stored()).toEqual({ ...kept, addressPools: ["10.0.0.0/8"], dns: ["1.1.1.1", "1.0.0.1"] });
    await change({ privateKey: "" });
    expect((await stored()).privateKey).not.toBe(before.privateKey);
  });

  test("of two interfaces that are created at once, a node gets one", async () => {
    const nodeId = await makeNode();
    const create = (port: number) =>
      scene.call(protocols.createNodeProtocol, { nodeId, protocol: VpnProtocol.WIREGUARD, port, tag: `wg${port}` });
    const outcomes = await Promise.allSettled([create(1), create(2), create(3)]);
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") {
        await refused(Promise.reject(outcome.reason), Code.AlreadyExists, 409, "WIREGUARD_TAKEN");
      }
    }
  });

  test("ranges that are too small for those who have the protocol are refused", async () => {
    const nodeId = await makeNode();
    const user = given((await scene.call(UserService.method.createUser, { name: scene.unused("user") })).user);
    const subscribe = async (more: object = {}) =>
      given(
        (await scene.call(SubscriptionService.method.createSubscription, { userId: user.id, ...more })).subscription,
      );
    await subscribe();
    await subscribe();
    const { id } = given(
      (await scene.call(protocols.createNodeProtocol, { nodeId, protocol: VpnProtocol.WIREGUARD, port: 51_820 }))
        .nodeProtocol,
    );
    const settings = JSON.stringify({ addressPools: ["10.8.0.0/30"] });
    const sentence = await refused(
      scene.call(protocols.updateNodeProtocol, { id, settings }),
      Code.InvalidArgument,
      400,
      "SETTINGS_INVALID",
    );
    expect(sentence).toMatch(
      /^settings: addressPools: have addresses for 1 users, and \d+ subscriptions have the protocol/,
    );
    const another = { nodeId: await makeNode(), protocol: VpnProtocol.WIREGUARD, port: 51_820, settings };
    await refused(scene.call(protocols.createNodeProtocol, another), Code.InvalidArgument, 400, "SETTINGS_INVALID");
    const remaining = await scene.call(protocols.getNodeProtocol, { id });
    expect(remaining.nodeProtocol).toMatchObject({ addressesTotal: 65_533 });
    // Ranges that have become too small are no reason to refuse other changes.
    const { db } = scene.fleet.database;
    const kept = { ...JSON.parse((await rowOf(id)).settings), addressPools: ["10.8.0.0/30"] };
    await db
      .updateTable("node_protocol")
      .set({ settings: JSON.stringify(kept) })
      .where("id", "=", Number(id))
      .execute();
    await db.updateTable("tunnel_pool").set({ last_number: 2 }).where("node_protocol_id", "=", Number(id)).execute();
    const otherDns = JSON.stringify({ ...kept, dns: ["9.9.9.9"] });
    const changed = await scene.call(protocols.updateNodeProtocol, { id, settings: otherDns });
    expect(changed.nodeProtocol).toMatchObject({ addressesTotal: 1 });
  });

  test("one port of two addresses is two protocols, whose tags are made apart", async () => {
    const nodeId = await makeNode();
    const make = async (listen: string) =>
      scene.call(protocols.createNodeProtocol, { nodeId, protocol: VpnProtocol.VLESS, port: 443, listen });
    await make("192.0.2.1");
    expect((await make("192.0.2.2")).nodeProtocol).toMatchObject({ tag: "vless-443-2", listen: "192.0.2.2" });
    await refused(make("192.0.2.2"), Code.AlreadyExists, 409, "PORT_TAKEN");
  });

  test("a protocol that is in use is deleted only when what uses it lets it go", async () => {
    const nodeId = await makeNode();
    const request = { nodeId, protocol: VpnProtocol.VLESS, port: 443, tag: "in" };
    const { id } = given((await scene.call(protocols.createNodeProtocol, request)).nodeProtocol);
    const routing = { nodeId, routing: JSON.stringify({ rules: [{ inboundTag: ["in"], outboundTag: "direct" }] }) };
    await scene.call(NodeOutboundService.method.updateNodeRouting, routing);
    await refused(
      scene.call(protocols.deleteNodeProtocol, { id, force: true }),
      Code.FailedPrecondition,
      409,
      "NODE_PROTOCOL_IN_USE",
    );
    await refused(
      scene.call(protocols.updateNodeProtocol, { id, tag: "b" }),
      Code.FailedPrecondition,
      409,
      "NODE_PROTOCOL_IN_USE",
    );
    await scene.call(NodeOutboundService.method.updateNodeRouting, { nodeId, routing: "{}" });
    const user = given((await scene.call(UserService.method.createUser, { name: scene.unused("user") })).user);
    const made = await scene.call(SubscriptionService.method.createSubscription, {
      userId: user.id,
      nodeProtocolIds: [id],
    });
    await refused(
      scene.call(protocols.deleteNodeProtocol, { id }),
      Code.FailedPrecondition,
      409,
      "NODE_PROTOCOL_IN_USE",
    );
    await scene.call(protocols.deleteNodeProtocol, { id, force: true });
    await refused(scene.call(protocols.getNodeProtocol, { id }), Code.NotFound, 404, "NODE_PROTOCOL_UNKNOWN");
    await refused(scene.call(protocols.deleteNodeProtocol, { id }), Code.NotFound, 404, "NODE_PROTOCOL_UNKNOWN");
    const { subscription } = await scene.call(SubscriptionService.method.getSubscription, {
      id: given(made.subscription).id,
    });
    expect(subscription).toMatchObject({ allProtocols: false, nodeProtocolIds: [] });
  });
});
