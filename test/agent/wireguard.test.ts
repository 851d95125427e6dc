import { execFile } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { Socket as TcpSocket } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { NodeProtocolService } from "../../gen/garrison/core/v1/node_protocols_pb.ts";
import { EngineKind, EngineState } from "../../gen/garrison/core/v1/node_status_pb.ts";
import { NodeService as Fleet, SyncStatus } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionService } from "../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserService } from "../../gen/garrison/core/v1/users_pb.ts";
import { VpnProtocol } from "../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { NodeService, StatType } from "../../gen/service/node_pb.ts";
import { until } from "../engines/engine-under-test.ts";
import { createTls } from "../engines/more-protocols.ts";
import { startByteTarget } from "../support/byte-target.ts";
import { makeNamespace, mayMakeNamespaces, type NetworkNamespace } from "../support/network-namespace.ts";
import { type NetworkTraffic, startTraffic } from "../support/network-traffic.ts";
import { freePorts } from "../support/ports.ts";
import { stayConnected, type Way } from "../support/vless-client.ts";
import { startPeer, type WireGuardKeys, type WireGuardPeer } from "../support/wireguard-peer.ts";
import { wireGuardPath } from "../wireguard-path.ts";
import { type CoreAtHand, startCore } from "./core-at-hand.ts";
import { type NodeAtHand, startNode } from "./node-at-hand.ts";

// A real Core, a node that it drives with a real wireguard-go on this machine, and a user in a network of their own.

const run = promisify(execFile);
// Names of interfaces, ranges and what answers are this run's own: other runs may be on this machine.
const name = `ga${process.pid}`;
const [high, low] = [(process.pid >> 8) & 127, process.pid & 255];
const range = `10.${128 + high}.${low}.0/24`;
const server = `10.${128 + high}.${low}.1`;

// Whose packets go on from here is another suite's business.
const settings = { WIREGUARD_GO_PATH: await wireGuardPath(), PG_NODE_WG_HOST_ROUTING: "0" };

describe.skipIf(!(await mayMakeNamespaces()))("a node that Core has serve WireGuard", { timeout: 60_000 }, () => {
  let core: CoreAtHand;
  let node: NodeAtHand;
  let network: NetworkNamespace;
  let traffic: NetworkTraffic;
  let peer: WireGuardPeer | undefined;
  let echo: Socket | undefined;
  let port: number;
  let protocolId: bigint;
  let publicKey: string;
  let subscriptionId: bigint;
  beforeEach(async () => {
    core = await startCore();
    network = await makeNamespace(1);
    traffic = await startTraffic(network);
    node = await startNode({ ...settings, CORE_ENROLMENT_CODE: await core.code() });
    await until("the node is enrolled", async () => (await nodes()).length > 0, 10_000);
    [port = 0] = await freePorts(1);
    const { nodeProtocol } = await core.operate(NodeProtocolService).createNodeProtocol({
      ...{ nodeId: (await nodes())[0]?.id ?? 0n, protocol: VpnProtocol.WIREGUARD, port, tag: name },
      settings: JSON.stringify({ addressPools: [range], preSharedKey: true }),
    });
    [protocolId, publicKey] = [nodeProtocol?.id ?? 0n, nodeProtocol?.wireguardPublicKey ?? ""];
    subscriptionId = await subscribe();
    await untilPeers(1);
    await answerOnTheInterface();
  });
  afterEach(async (context) => {
    if (context.task.result?.state === "fail") console.log(node.log(), await interfaceState());
    echo?.close();
    echo = undefined;
    await peer?.close();
    peer = undefined;
    await node.close();
    await traffic.close();
    await network.close();
    await core.close();
  });

  const nodes = async () => (await core.operate(Fleet).listNodes({})).nodes;
  const untilSynced = () =>
    until("Core knows that it runs", async () => (await nodes())[0]?.syncStatus === SyncStatus.SYNCED, 20_000);
  const interfaceState = () =>
    run("wg", ["show", name, "dump"]).then(
      ({ stdout }) => stdout,
      () => undefined,
    );
  const interfaceStands = () =>
    run("ip", ["link", "show", "dev", name]).then(
      () => true,
      () => false,
    );

  /** The process of this node's wireguard-go. */
  async function enginePid(): Promise<number> {
    return JSON.parse(await readFile(join(node.dataDir, "wireguard/wireguard-process.json"), "utf8")).pid;
  }

  const onlineEvents = () => core.database.db.selectFrom("session_event").selectAll().execute();

  /** A connection of a user of VLESS that stays. */
  async function letIn(way: Way, id: string): Promise<TcpSocket> {
    let admitted: TcpSocket | undefined;
    await until(
      "the user of VLESS is let in",
      async () => {
        admitted = await stayConnected(way, id).catch(() => undefined);
        return admitted !== undefined;
      },
      20_000,
    );
    if (admitted === undefined) throw new Error("nobody was let in");
    return admitted;
  }

  const startAgain = () => node.start(settings);

  /** The peers of the interface: the addresses of each, by public key. */
  async function peers(): Promise<Record<string, string>> {
    const [, ...lines] = ((await interfaceState()) ?? "").trimEnd().split("\n");
    return Object.fromEntries(
      lines.flatMap((line) => {
        const [key = "", , , addresses = ""] = line.split("\t");
        return addresses === "(none)" ? [] : [[key, addresses]];
      }),
    );
  }

  const untilPeers = (count: number) =>
    until(`there are ${count} peers`, async () => Object.keys(await peers()).length === count, 20_000);

  async function subscribe(quotaBytes = 0n): Promise<bigint> {
    const { user } = await core.operate(UserService).createUser({ name: `user ${Math.random()}` });
    const { subscription } = await core.operate(SubscriptionService).createSubscription({
      ...{ userId: user?.id ?? 0n, quotaBytes, protocols: [VpnProtocol.WIREGUARD] },
    });
    return subscription?.id ?? 0n;
  }

  async function keysOf(subscription: bigint): Promise<WireGuardKeys> {
    const { secret: privateKey, public_key } = await core.database.db
      .selectFrom("link")
      .select(["secret", "public_key"])
      .where("subscription_id", "=", Number(subscription))
      .where("protocol", "=", "wireguard")
      .executeTakeFirstOrThrow();
    return { privateKey, publicKey: public_key };
  }

  /** Somebody at the server's end of the tunnel sends back what comes, as long as the interface stands. */
  async function answerOnTheInterface(): Promise<void> {
    echo?.close();
    const socket = createSocket("udp4").on("message", (message, from) => socket.send(message, from.port, from.address));
    echo = socket.bind(0, "0.0.0.0");
    await once(socket, "listening");
  }

  /** Connects as the user. */
  async function connect(): Promise<WireGuardPeer> {
    const keys = await keysOf(subscriptionId);
    const { settings } = await core.database.db
      .selectFrom("node_protocol")
      .select("settings")
      .where("id", "=", Number(protocolId))
      .executeTakeFirstOrThrow();
    peer = await startPeer(network, {
      ...{ name: `gc${process.pid}`, keys, behind: [range], preSharedKey: JSON.parse(settings).preSharedKey },
      addresses: [(await peers())[keys.publicKey] ?? ""],
      server: { publicKey, address: network.outside.v4, port },
    });
    return peer;
  }

  /** Whether bytes reach the server's end of the tunnel, and come back. */
  async function carries(count = 1, bytes = 100): Promise<boolean> {
    return traffic.datagrams({ host: server, port: echo?.address().port ?? 0, count, bytes }).then(
      () => true,
      () => false,
    );
  }
  const untilCarries = () => until("the user is let in", () => carries(), 20_000);
  const untilRefused = () => until("the user is refused", async () => !(await carries()), 20_000);

  /** Bytes of the subscription that Core has booked. */
  async function booked(): Promise<{ up: number; down: number }> {
    const { subscription } = await core.operate(SubscriptionService).getSubscription({ id: subscriptionId });
    return { up: Number(subscription?.bytesUp ?? 0n), down: Number(subscription?.bytesDown ?? 0n) };
  }
  const isBooked = async ({ sentBytes, receivedBytes }: { sentBytes: number; receivedBytes: number }) => {
    const { up, down } = await booked();
    return up === sentBytes && down === receivedBytes;
  };

  test("users are its peers, and what they carry is booked as theirs, to the byte", async () => {
    const { publicKey: key } = await keysOf(subscriptionId);
    expect(await peers()).toEqual({ [key]: expect.stringMatching(/^10\.\d+\.\d+\.\d+\/32$/) });
    const client = await connect();
    await untilCarries();
    expect(await carries(50, 1_000)).toBe(true);
    await until("both ends agree", async () => isBooked(await client.state()), 20_000);
    expect((await booked()).up).toBeGreaterThan(50_000);
    await untilSynced();
    await until("the engine is told of", async () => {
      const engine = (await nodes())[0]?.observed?.engines.find(({ kind }) => kind === EngineKind.WIREGUARD);
      return engine?.state === EngineState.RUNNING && engine.ports[0] === port && engine.version !== "";
    });
    expect((await nodes())[0]?.capabilities).toContain("wireguard");
    const streams = () => core.database.db.selectFrom("node_stream").select("kind").execute();
    expect((await streams()).map(({ kind }) => kind)).not.toContain("outbound_usage");
    expect(await core.database.db.selectFrom("quarantined_entry").selectAll().execute()).toEqual([]);
    expect(await onlineEvents()).toMatchObject([
      { ip_address: network.inside[0]?.v4, node_protocol_id: Number(protocolId) },
    ]);
  });

  test("its own API reads what the engine counts, and changes nothing", async () => {
    await connect();
    await untilCarries();
    const api = createClient(
      NodeService,
      createConnectTransport({
        ...{ baseUrl: node.api.url, httpVersion: "1.1" },
        interceptors: [
          (next) => (request) => {
            request.header.set("x-api-key", node.api.key);
            return next(request);
          },
        ],
      }),
    );
    const { stats } = await api.getStats({ type: StatType.UsersStat, reset: false });
    const { publicKey: key } = await keysOf(subscriptionId);
    expect(stats.filter(({ link }) => link === key).map(({ type }) => type)).toEqual(["uplink", "downlink"]);
    await expect(api.start({ type: 1, config: "{}" })).rejects.toThrow(/Core drives this node/);
    await expect(api.stop({})).rejects.toThrow(/Core drives this node/);
    expect((await api.getBaseInfo({})).started).toBe(true);
  });

  test("a user is refused when the quota is used up, and let in again when there is more", async () => {
    const update = (quotaBytes: bigint) =>
      core.operate(SubscriptionService).updateSubscription({ id: subscriptionId, quotaBytes });
    const client = await connect();
    await untilCarries();
    await update(20_000n);
    await carries(20, 1_000);
    await untilRefused();
    expect(await peers()).toEqual({});
    // What it has sent meanwhile nobody has listened to.
    const { receivedBytes: before } = await client.state();
    await until("all is booked", async () => (await booked()).down === before, 20_000);
    await update(1_000_000n);
    await untilPeers(1);
    // Of itself it would find out after a quarter of a minute.
    await client.beginAnew();
    await untilCarries();
    await until(
      "what came later is booked, too",
      async () => (await booked()).down === before + (await client.state()).receivedBytes,
      20_000,
    );
  });

  test("another key for a user is another peer, and what both have carried is booked as theirs", async () => {
    const before = await keysOf(subscriptionId);
    const client = await connect();
    await untilCarries();
    await core.operate(SubscriptionService).rotateSubscriptionLinks({ id: subscriptionId });
    const after = await keysOf(subscriptionId);
    expect(after.publicKey).not.toBe(before.publicKey);
    await until("the peer is another one", async () => Object.keys(await peers()).join() === after.publicKey, 20_000);
    await until("the old one is booked", async () => (await booked()).down > 0, 20_000);
    const { down } = await booked();
    await untilRefused();
    await client.use(after);
    await untilCarries();
    await carries(20, 1_000);
    await until("the new one is booked, too", async () => (await booked()).down > down + 20_000, 20_000);
  });

  test("who is there from one address too many is left out, as long as others have the places", async () => {
    const limit = (deviceLimit: number) =>
      core.operate(SubscriptionService).updateSubscription({ id: subscriptionId, deviceLimit });
    const [vlessPort = 0] = await freePorts(1);
    await core.addVless(Number((await nodes())[0]?.id), vlessPort);
    await core.operate(SubscriptionService).updateSubscriptionLink({
      ...{ id: subscriptionId, protocol: VpnProtocol.VLESS, enabled: true },
    });
    const { uuid, secret } = await core.database.db
      .selectFrom("link")
      .select(["uuid", "secret"])
      .where("protocol", "=", "vless")
      .executeTakeFirstOrThrow();
    await limit(1);
    const target = await startByteTarget();
    // Xray counts no user from 127.0.0.1.
    const way = { inboundPort: vlessPort, targetPort: target.port, localAddress: "127.0.0.2" };
    const first = await letIn(way, secret || uuid);
    try {
      await until("the first one is seen", async () => (await onlineEvents()).length > 0, 20_000);
      const client = await connect();
      await untilCarries();
      await untilPeers(0);
      expect(await node.metrics()).toMatch(/garrison_agent_refused_addresses\{[^}]*\} 1\n/);
      expect(first.closed).toBe(false);
      await limit(2);
      await untilPeers(1);
      await client.beginAnew();
      await untilCarries();
    } finally {
      first.destroy();
      await target.close();
    }
  });

  test("users come and go without a byte of others being lost", async () => {
    await connect();
    await untilCarries();
    const away = { host: server, port: echo?.address().port ?? 0 };
    await traffic.startPinging({ ...away, everyMs: 5, bytes: 100 });
    const other = await subscribe();
    await untilPeers(2);
    await core.operate(SubscriptionService).deleteSubscription({ id: other });
    await untilPeers(1);
    const [pinged] = await traffic.stopPinging();
    expect(pinged?.lost).toEqual([]);
    expect(pinged?.sent).toBeGreaterThan(10);
  });

  test("an interface that is not ours is no place for another one: it is reported, and the one before comes back", async () => {
    await connect();
    await untilCarries();
    await untilSynced();
    const foreign = `gf${process.pid}`;
    await run("ip", ["tuntap", "add", "dev", foreign, "mode", "tun"]);
    try {
      await core.operate(NodeProtocolService).updateNodeProtocol({ id: protocolId, tag: foreign });
      await until("Core is told", async () => (await nodes())[0]?.syncStatus === SyncStatus.FAILED, 20_000);
      expect((await nodes())[0]?.lastError).toMatchObject({
        code: "ENGINE_START_FAILED",
        message: expect.stringContaining(`there is an interface ${foreign} already`),
      });
      await untilCarries();
    } finally {
      await run("ip", ["link", "delete", foreign]);
    }
  });

  test("an interface that is not ours costs nobody on Xray a connection, whatever Xray was to change with it", async () => {
    const nodeId = (await nodes())[0]?.id ?? 0n;
    const [vlessPort = 0, hysteriaPort = 0] = await freePorts(2);
    await core.addVless(Number(nodeId), vlessPort);
    const { id } = await core.addUser();
    const target = await startByteTarget();
    const foreign = `gf${process.pid}`;
    await run("ip", ["tuntap", "add", "dev", foreign, "mode", "tun"]);
    const connected = await letIn({ inboundPort: vlessPort, targetPort: target.port }, id);
    try {
      await untilSynced();
      await node.stop(); // both changes come as one
      await core.operate(NodeProtocolService).updateNodeProtocol({ id: protocolId, tag: foreign });
      // Xray cannot be given its first inbound of this kind while it runs.
      const { server } = await createTls();
      const tls = { security: "tls", tlsSettings: { ...server, alpn: ["h3"] } };
      await core.operate(NodeProtocolService).createNodeProtocol({
        ...{ nodeId, protocol: VpnProtocol.HYSTERIA2, port: hysteriaPort },
        settings: JSON.stringify({ streamSettings: { network: "hysteria", ...tls, hysteriaSettings: { version: 2 } } }),
      });
      await startAgain();
      await until("Core is told", async () => (await nodes())[0]?.syncStatus === SyncStatus.FAILED, 20_000);
      expect((await nodes())[0]?.lastError?.message).toContain(`there is an interface ${foreign} already`);
      expect(connected.closed).toBe(false);
    } finally {
      connected.destroy();
      await target.close();
      await run("ip", ["link", "delete", foreign]);
    }
    // What was wrong is so no longer: then Xray changes, too.
    await core.operate(NodeProtocolService).updateNodeProtocol({ id: protocolId, tag: name });
    await until("Core knows", async () => {
      const engine = (await nodes())[0]?.observed?.engines.find(({ kind }) => kind === EngineKind.XRAY);
      return engine?.ports.includes(hysteriaPort) ?? false;
    });
  });

  test("a port that somebody else has is reported as that, and the one before is listened on", async () => {
    await connect();
    await untilCarries();
    await untilSynced();
    const [taken = 0] = await freePorts(1);
    const squatter = createSocket("udp4").bind(taken, "0.0.0.0");
    await once(squatter, "listening");
    try {
      await core.operate(NodeProtocolService).updateNodeProtocol({ id: protocolId, port: taken });
      await until("Core is told", async () => (await nodes())[0]?.syncStatus === SyncStatus.FAILED, 20_000);
      expect((await nodes())[0]?.lastError?.code).toBe("PORT_IN_USE");
      await untilCarries();
      // The same where nothing has to give way.
      await core.operate(NodeProtocolService).updateNodeProtocol({ id: protocolId, enabled: false });
      await until("the interface is gone", async () => !(await interfaceStands()), 20_000);
      await untilSynced();
      await core.operate(NodeProtocolService).updateNodeProtocol({ id: protocolId, enabled: true });
      await until("Core is told", async () => (await nodes())[0]?.syncStatus === SyncStatus.FAILED, 20_000);
      expect((await nodes())[0]?.lastError?.code).toBe("PORT_IN_USE");
      expect(await interfaceStands()).toBe(false);
    } finally {
      squatter.close();
    }
  });

  test("users stay connected while the agent restarts, and what they carry meanwhile is booked once", async () => {
    const client = await connect();
    await untilCarries();
    await untilSynced();
    const before = Object.keys(await peers());
    await node.stop();
    expect(await carries(10, 1_000)).toBe(true);
    await startAgain();
    expect(await carries(10, 1_000)).toBe(true);
    await until("both ends agree", async () => isBooked(await client.state()), 20_000);
    expect(Object.keys(await peers())).toEqual(before);
  });

  test("an engine that dies is back by itself, what it took along is told as a gap, and the rest is booked", async () => {
    const client = await connect();
    await untilCarries();
    await until("both ends agree", async () => isBooked(await client.state()), 20_000);
    process.kill(await enginePid(), "SIGKILL");
    await until("Core is told", async () => (await nodes())[0]?.lastError?.code === "USAGE_GAP", 20_000);
    await untilPeers(1);
    await client.beginAnew();
    await untilCarries();
    const before = await booked();
    expect(await carries(20, 1_000)).toBe(true);
    await until("it is booked", async () => (await booked()).up >= before.up + 20_000, 20_000);
  });

  test("an interface that is gone when the node comes back stands again, also while Core is away", async () => {
    const client = await connect();
    await untilCarries();
    await untilSynced();
    const comeBack = await core.goAway();
    await node.stop();
    process.kill(await enginePid(), "SIGKILL");
    await until("the interface is gone", async () => !(await interfaceStands()), 20_000);
    await startAgain();
    await untilPeers(1);
    await client.beginAnew();
    await untilCarries();
    await comeBack();
    await until("Core is told", async () => (await nodes())[0]?.lastError?.code === "USAGE_GAP", 20_000);
    await untilSynced();
  });

  test("without the protocol the interface is gone, and what was carried last is booked", async () => {
    const client = await connect();
    await untilCarries();
    expect(await carries(20, 1_000)).toBe(true);
    await core.operate(NodeProtocolService).updateNodeProtocol({ id: protocolId, enabled: false });
    await until("the interface is gone", async () => !(await interfaceStands()), 20_000);
    const { receivedBytes } = await client.state();
    await until("all is booked", async () => (await booked()).down === receivedBytes, 20_000);
    await untilSynced();
  });
});
