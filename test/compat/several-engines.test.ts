import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { StatType, type User } from "../../gen/service/node_pb.ts";
import { type ByteTarget, exchange, startByteTarget } from "../support/byte-target.ts";
import { enginesOf } from "../support/child-processes.ts";
import { mayMakeNamespaces } from "../support/network-namespace.ts";
import type { NodeCaller } from "../support/node-caller.ts";
import { bothCounted } from "../support/peer-bytes.ts";
import { nodeConfig, type ProxyProtocol, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { type ConnectedPerson, countedOf, startScene, type WireGuardScene } from "../support/wireguard-scene.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { failureOf } from "./harness.ts";

// Xray and WireGuard on one node, each started by its own Start.

const [vless] = proxyProtocols as [ProxyProtocol];
const vlessPort = 20_443;

describe.skipIf(!(await mayMakeNamespaces()))("a node with Xray and WireGuard", () => {
  let scene: WireGuardScene;
  let target: ByteTarget;
  let anna: ConnectedPerson;
  /** On Xray's inbound, and on both. */
  let xenia: User;
  let both: User;
  let xray: string;

  beforeAll(async () => {
    scene = await startScene();
    // Seen from the node's network this is the machine outside.
    target = await startByteTarget(scene.network.outside.v4);
    anna = await scene.connect(scene.person(2));
    xray = nodeConfig([vlessPort], [vless]).replaceAll("127.0.0.1", "0.0.0.0");
    xenia = userOf("1", "vless");
    both = userOf("2", "vless", scene.name);
    Object.assign(both.proxies ?? {}, { wireguard: anna.user.proxies?.wireguard });
  });
  afterAll(async () => {
    await target?.close();
    await scene?.close();
  });

  const over: [string, () => NodeCaller][] = [
    ["gRPC", () => scene.node.grpc],
    ["REST", () => scene.node.rest],
  ];
  const startBoth = async (caller: NodeCaller) => {
    await caller.start({ config: xray, users: [xenia, both] });
    await caller.start(scene.backend([xenia, both]));
    await anna.peer.beginAnew();
  };
  /** Whether a user gets bytes through Xray. */
  const throughXray = async (user: User, bytes = 1_000) => {
    const address = scene.network.inside[0]?.v4 ?? "";
    const outbound = JSON.stringify(vless.outbound(vlessPort, user)).replaceAll("127.0.0.1", address);
    const client = await startXrayClient([JSON.parse(outbound)]);
    try {
      return await exchange(client.proxyPorts[0] ?? 0, target, bytes, bytes).then(
        () => true,
        () => false,
      );
    } finally {
      await client.close();
    }
  };
  const throughWireGuard = (count = 5) =>
    anna.traffic.datagrams({ ...scene.target.v4, count, bytes: 1_000 }).then(
      () => true,
      () => false,
    );
  const keys = async () => (await scene.held()).peers.map(({ publicKey }) => publicKey);
  const shown = async (caller: NodeCaller, type: StatType, reset = false) =>
    (await caller.stats({ type, reset })).stats
      .map(({ name, type, link, value }) => [name, type, link, Number(value)])
      .sort((left, right) => String(left).localeCompare(String(right)));

  describe.each(over)("over %s", (_, caller) => {
    beforeEach(async () => {
      await scene.node.grpc.stop().catch(() => undefined);
    });

    it("runs the second beside the first, and tells of both", async () => {
      const first = await caller().start({ config: xray, users: [xenia, both] });
      expect(first.coreVersion).toMatch(/^\d+\.\d+\.\d+$/);
      const [engine] = await enginesOf(scene.node.pid);
      const second = await caller().start(scene.backend([xenia, both]));
      expect(second).toMatchObject({ started: true });
      expect(second.coreVersion).toMatch(/^\d+\.\d+\.\d+, wireguard \S+$/);
      expect(second.coreVersion.length).toBeLessThanOrEqual(32);
      expect(await caller().info()).toMatchObject({ started: true, coreVersion: second.coreVersion });
      expect(await enginesOf(scene.node.pid)).toEqual([engine]);
      expect((await caller().backendStats()).uptime).toBeGreaterThanOrEqual(0);
      expect((await caller().systemStats()).memTotal).toBeGreaterThan(0n);
    });

    it("puts users where they ask to be, by the tags of inbounds", async () => {
      await startBoth(caller());
      expect(await keys()).toEqual([anna.keys.publicKey]);
      expect([await throughXray(xenia), await throughXray(both), await throughWireGuard()]).toEqual([true, true, true]);
      // One sync serves both: Xenia goes to WireGuard, the other leaves it.
      const carla = scene.person(4);
      const wanderer = { ...carla.user, email: "1", inbounds: [scene.name] };
      await caller().syncUsers({ users: [wanderer, { ...both, inbounds: ["vless"] }] });
      await expect.poll(keys, { timeout: 3_000 }).toEqual([carla.keys.publicKey]);
      expect([await throughXray(xenia), await throughXray(both), await throughWireGuard(1)]).toEqual([
        false,
        true,
        false,
      ]);
      await caller().syncChunked({ users: [xenia, both], last: true });
      await anna.peer.beginAnew();
      expect([await throughXray(xenia), await throughXray(both), await throughWireGuard()]).toEqual([true, true, true]);
      await caller().syncUser({ ...both, inbounds: [] });
      await expect.poll(keys, { timeout: 3_000 }).toEqual([]);
      expect([await throughXray(xenia), await throughXray(both)]).toEqual([true, false]);
    });

    it("tells the traffic of both in one answer", async () => {
      await startBoth(caller());
      for (const type of [StatType.UsersStat, StatType.Outbounds]) await caller().stats({ type, reset: true });
      await caller().info();
      expect([await throughXray(xenia, 20_000), await throughXray(both, 30_000), await throughWireGuard(10)]).toEqual([
        true,
        true,
        true,
      ]);
      const { received, sent } = await bothCounted(scene.node, anna);
      expect(received).toBeGreaterThan(10 * countedOf(1_000));
      const users = [
        ["1", "downlink", "traffic", 20_000],
        ["1", "uplink", "traffic", 20_000],
        ["2", "downlink", "traffic", 30_000],
        ["2", "uplink", "traffic", 30_000],
        ["2", "downlink", anna.keys.publicKey, received],
        ["2", "uplink", anna.keys.publicKey, sent],
      ].sort((left, right) => String(left).localeCompare(String(right)));
      expect(await shown(caller(), StatType.UsersStat)).toEqual(users);
      const outbounds = (await shown(caller(), StatType.Outbounds)).map(([name, , link]) => `${name} ${link}`);
      expect(outbounds).toEqual(expect.arrayContaining(["direct traffic", `${scene.name} interface`]));
      // Only Xray counts inbounds.
      const inbounds = await shown(caller(), StatType.Inbounds);
      expect(inbounds.every(([, , link]) => link === "traffic")).toBe(true);
      expect(await shown(caller(), StatType.UsersStat, true)).toEqual(users);
      await caller().info();
      expect(await shown(caller(), StatType.UsersStat)).toEqual([]);
    });

    it("tells who is online on either, and nobody who is unknown is missing", async () => {
      await startBoth(caller());
      expect(await throughWireGuard()).toBe(true);
      expect(await caller().online("2")).toMatchObject({ value: 1n });
      expect(Object.keys((await caller().onlineAddresses("2")).ips)).toEqual([anna.address]);
      expect(await caller().online("nobody")).toMatchObject({ value: 0n });
    });

    it("tells how far the internet is, which only WireGuard measures here", async () => {
      const far = createServer((_request, response) => response.writeHead(204).end());
      const { v4: host } = scene.network.outside;
      far.listen(0, host);
      await once(far, "listening");
      await scene.inside("ip", "route", "add", "default", "via", host);
      onTestFinished(async () => {
        await scene.inside("ip", "route", "delete", "default");
        far.close();
      });
      const url = `http://${host}:${(far.address() as AddressInfo).port}/`;
      await caller().start({ config: xray, users: [] });
      const { status, code } = await failureOf(caller().latency());
      expect(status ?? code).toBe(status === undefined ? Code.Unknown : 502);
      await caller().start(scene.backend([], { latency: { test_url: url } }));
      const { latencies } = await caller().latency();
      expect(latencies).toMatchObject([{ link: url, alive: true, source: "wireguard-probe" }]);
      expect(latencies[0]?.name).not.toBe(scene.name);
      expect((await caller().latency("nowhere")).latencies).toEqual([]);
    });

    it("stops both", async () => {
      await startBoth(caller());
      await caller().stop();
      expect(await caller().info()).toMatchObject({ started: false, coreVersion: "" });
      expect(await enginesOf(scene.node.pid)).toEqual([]);
      await expect(scene.held()).rejects.toThrow();
      expect((await failureOf(caller().stop())).text.trim()).toBe("backend not initialized");
    });

    it("a Start that fails of one leaves the other as it runs", async () => {
      await caller().start({ config: xray, users: [both] });
      expect((await failureOf(caller().start(scene.backend([both], { private_key: "no key" })))).text).toContain(
        "invalid wireguard private key",
      );
      expect(await throughXray(both)).toBe(true);
      expect((await caller().info()).coreVersion).toMatch(/^\d+\.\d+\.\d+$/);
      await caller().start(scene.backend([both]));
      await failureOf(caller().start({ config: "{" }));
      await anna.peer.beginAnew();
      expect(await throughWireGuard()).toBe(true);
    });

    it("with only one of them started knows nothing of the other", async () => {
      await caller().start(scene.backend([xenia, both]));
      const { status, code } = await failureOf(caller().routingRules());
      expect(status ?? code).toBe(status === undefined ? Code.Unimplemented : 501);
      expect(await enginesOf(scene.node.pid)).toEqual([]);
      await caller().stop();
      await caller().start({ config: xray, users: [xenia, both] });
      await expect(scene.held()).rejects.toThrow();
      const unknown = await failureOf(caller().online("nobody"));
      expect(unknown.status ?? unknown.code).toBe(unknown.status === undefined ? Code.NotFound : 404);
    });
  });
});
