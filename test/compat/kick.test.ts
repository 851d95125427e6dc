import { create, toBinary } from "@bufbuild/protobuf";
import { sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import { createClient } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { ConnectionService, LeftReason } from "../../gen/garrison/node/v1/connections_pb.ts";
import { type User, UserSchema, UsersChunkSchema, UsersSchema } from "../../gen/service/node_pb.ts";
import { createHysteria, userOfAll } from "../engines/more-protocols.ts";
import { makeNamespace, mayMakeNamespaces, type NetworkNamespace } from "../support/network-namespace.ts";
import { grpcClient, grpcTransport } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, type ProxyProtocol, proxyProtocols } from "../support/proxy-protocols.ts";
import {
  connectSteadily,
  type EchoTarget,
  type SteadyConnection,
  startEchoTarget,
} from "../support/steady-connections.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { type CompatNode, startNode } from "./harness.ts";

// Who is removed, or loses an inbound, is cut off. Users connect from a network of their own, where they have several
// addresses: Xray counts nobody who comes from 127.0.0.1.

const [vless, , trojan] = proxyProtocols as [ProxyProtocol, ProxyProtocol, ProxyProtocol];

describe.skipIf(!(await mayMakeNamespaces()))("with GARRISON_KICK=on", () => {
  let network: NetworkNamespace;
  let echo: EchoTarget;
  let node: CompatNode;
  let hysteria: ProxyProtocol;
  let ports: number[];

  beforeAll(async () => {
    [network, echo, hysteria, ports] = await Promise.all([
      makeNamespace(4),
      startEchoTarget(),
      createHysteria(),
      freePorts(3),
    ]);
    node = await startNode({ GARRISON_KICK: "on", GARRISON_LOG_LEVEL: "debug" });
  });
  afterAll(async () => {
    await node.close();
    await Promise.all([network.close(), echo.close()]);
  });

  const protocols = () => [vless, trojan, hysteria];
  const config = (more: object = {}) => {
    const parsed = JSON.parse(nodeConfig(ports, protocols()).replaceAll("127.0.0.1", "0.0.0.0"));
    // Hysteria's users are nobody to Xray when it counts the traffic of inbounds.
    return JSON.stringify({ ...parsed, policy: {}, ...more });
  };
  const everywhere = (email: string) => userOfAll(email, "vless", "trojan", "hysteria");

  /** A user's connection through an inbound from one of the addresses, by IPv4 or IPv6. */
  interface Seat {
    readonly user: User;
    readonly protocol: ProxyProtocol;
    readonly from: number;
    readonly family?: "v4" | "v6";
  }

  /** Connects, and holds the connections until the test ends. */
  async function connect(...seats: Seat[]): Promise<SteadyConnection[]> {
    const outbounds = seats.map(({ user, protocol, from, family = "v4" }) => {
      const port = ports[protocols().indexOf(protocol)] ?? 0;
      const outbound = JSON.stringify(protocol.outbound(port, user)).replaceAll("127.0.0.1", network.outside[family]);
      return { ...JSON.parse(outbound), sendThrough: network.inside[from]?.[family] };
    });
    const host = network.inside[0]?.v4 ?? "";
    const client = await startXrayClient(outbounds, { enter: network.enter, host });
    const connections = await Promise.all(client.proxyPorts.map((port) => connectSteadily(port, echo, host)));
    onTestFinished(async () => {
      for (const connection of connections) connection.close();
      await client.close();
    });
    return connections;
  }

  /** Sets exactly these users, and returns what the reply's header says. */
  async function sync(...users: User[]): Promise<unknown> {
    const body = toBinary(UsersSchema, create(UsersSchema, { users }));
    const { status, headers } = await node.request("PUT", "/users/sync", undefined, body);
    expect(status).toBe(200);
    return JSON.parse(String(headers["garrison-kick"] ?? "null"));
  }

  const cutWithin = (connection: SteadyConnection | undefined, ms: number) =>
    expect.poll(() => connection?.dropped, { timeout: ms, interval: 10 }).toBe(true);

  beforeEach(() => node.grpc.start({ config: config(), users: [] }));

  it("a removed user is cut off within a second, and nobody else notices", async () => {
    const [gone, stays] = [everywhere("gone"), everywhere("stays")];
    await sync(gone, stays);
    const [one, two, other] = await connect(
      { user: gone, protocol: vless, from: 0 },
      { user: gone, protocol: trojan, from: 0 },
      { user: stays, protocol: vless, from: 1 },
    );
    expect(await sync(stays)).toEqual({ cut: 2, left: 0, users: [{ email: "gone", cut: 2, left: [] }] });
    await Promise.all([cutWithin(one, 1_000), cutWithin(two, 1_000)]);
    await other?.carries();
    expect(other?.longestGapMs()).toBeLessThan(1_000);
    expect(other?.dropped).toBe(false);
  });

  it("an address that another user is online from is left, until that one goes as well", async () => {
    const [gone, neighbour] = [everywhere("gone"), everywhere("neighbour")];
    await sync(gone, neighbour);
    const [left, other] = await connect(
      { user: gone, protocol: vless, from: 0 },
      { user: neighbour, protocol: trojan, from: 0 },
    );
    expect(await sync(neighbour)).toEqual({
      cut: 0,
      left: 1,
      users: [{ email: "gone", cut: 0, left: [[network.inside[0]?.v4, "shared_address"]] }],
    });
    await Promise.all([left?.carries(), other?.carries()]);
    expect([left?.dropped, other?.dropped]).toEqual([false, false]);
    expect(await sync()).toMatchObject({ cut: 2, left: 0 });
    await Promise.all([cutWithin(left, 1_000), cutWithin(other, 1_000)]);
  });

  it("neighbours who go together are cut off together", async () => {
    const [one, two] = [everywhere("one"), everywhere("two")];
    await sync(one, two);
    const connections = await connect({ user: one, protocol: vless, from: 0 }, { user: two, protocol: vless, from: 0 });
    expect(await sync()).toMatchObject({ cut: 2, left: 0 });
    for (const connection of connections) await cutWithin(connection, 1_000);
  });

  it("who loses one of two inbounds is cut off that one alone", async () => {
    const user = everywhere("42");
    await sync(user);
    const [lost, kept] = await connect({ user, protocol: vless, from: 0 }, { user, protocol: trojan, from: 0 });
    expect(await sync({ ...user, inbounds: ["trojan", "hysteria"] })).toEqual({
      cut: 1,
      left: 0,
      users: [{ email: "42", cut: 1, left: [] }],
    });
    await cutWithin(lost, 1_000);
    await kept?.carries();
    expect(kept?.dropped).toBe(false);
  });

  it("users of an inbound that a Start takes away are cut off it while Xray runs on", async () => {
    const user = everywhere("42");
    await sync(user);
    const [lost, kept] = await connect({ user, protocol: vless, from: 0 }, { user, protocol: trojan, from: 0 });
    const { inbounds } = JSON.parse(config());
    const without = config({ inbounds: inbounds.filter(({ tag }: { tag: string }) => tag !== "vless") });
    await node.grpc.start({ config: without, users: [user] });
    await cutWithin(lost, 1_000);
    await kept?.carries();
    expect(kept?.dropped).toBe(false);
  });

  it("who is missing in an equivalent Start is cut off", async () => {
    const [gone, stays] = [everywhere("gone"), everywhere("stays")];
    await sync(gone, stays);
    const [cut, other] = await connect(
      { user: gone, protocol: vless, from: 0 },
      { user: stays, protocol: vless, from: 1 },
    );
    // Whether the config counts who is online makes no difference: the node needs it.
    await node.grpc.start({
      config: config({ policy: { levels: { 0: { statsUserOnline: false } } } }),
      users: [stays],
    });
    await cutWithin(cut, 1_000);
    await other?.carries();
    expect(other?.dropped).toBe(false);
  });

  it("IPv6 connections are cut, too", async () => {
    const user = everywhere("42");
    await sync(user);
    const connections = await connect(
      { user, protocol: vless, from: 0, family: "v6" },
      { user, protocol: vless, from: 0, family: "v4" },
    );
    expect(await sync()).toEqual({ cut: 2, left: 0, users: [{ email: "42", cut: 2, left: [] }] });
    for (const connection of connections) await cutWithin(connection, 1_000);
  });

  it("connections over UDP are told to be left", async () => {
    const user = everywhere("42");
    await sync(user);
    const [quic, tcp] = await connect({ user, protocol: hysteria, from: 0 }, { user, protocol: vless, from: 0 });
    expect(await sync()).toEqual({
      cut: 1,
      left: 1,
      users: [{ email: "42", cut: 1, left: [[network.inside[0]?.v4, "udp_not_supported"]] }],
    });
    await cutWithin(tcp, 1_000);
    await quic?.carries();
    expect(quic?.dropped).toBe(false);
  });

  it("a hundred users who go at once are found and cut in one go", async () => {
    const users = Array.from({ length: 100 }, (_, index) => everywhere(`user-${index}`));
    const stays = everywhere("stays");
    await sync(...users, stays);
    const [other, ...connections] = await connect(
      { user: stays, protocol: vless, from: 3 },
      ...users.map((user, index) => ({ user, protocol: vless, from: index % 3 })),
    );
    const beganAt = performance.now();
    expect(await sync(stays)).toMatchObject({ cut: 100, left: 0, more: expect.any(Number) });
    expect(performance.now() - beganAt).toBeLessThan(1_000);
    for (const connection of connections) await cutWithin(connection, 1_000);
    await other?.carries();
    expect(other?.dropped).toBe(false);
  });

  const header = (headers: Headers | Record<string, string | string[] | undefined>) =>
    String(headers instanceof Headers ? headers.get("garrison-kick") : headers["garrison-kick"]);
  const rest = async (verb: string, path: string, type: string, body: Uint8Array) => {
    const { status, headers } = await node.request(verb, path, { "x-api-key": node.key, "content-type": type }, body);
    expect(status).toBe(200);
    return header(headers);
  };
  const protobuf = "application/x-protobuf";
  const overGrpc = async (
    call: (
      client: ReturnType<typeof grpcClient>,
      options: { onHeader: (headers: Headers) => void },
    ) => Promise<unknown>,
  ) => {
    let told = "";
    await call(grpcClient(node), { onHeader: (headers) => (told = header(headers)) });
    return told;
  };

  it.each<[string, (user: User) => Promise<string>]>([
    ["SyncUser over gRPC", (user) => overGrpc((client, options) => client.syncUser(streamOf(user), options))],
    ["SyncUsers over gRPC", () => overGrpc((client, options) => client.syncUsers({}, options))],
    [
      "SyncUsersChunked over gRPC",
      (user) =>
        overGrpc((client, options) => client.syncUsersChunked(streamOf({ users: [user], last: true }), options)),
    ],
    ["Start over gRPC", () => overGrpc((client, options) => client.start({ config: config() }, options))],
    ["SyncUser over REST", (user) => rest("PUT", "/user/sync", protobuf, toBinary(UserSchema, user))],
    [
      "SyncUsersChunked over REST",
      (user) => {
        const chunk = create(UsersChunkSchema, { users: [user], last: true });
        return rest("PUT", "/users/sync/chunked", protobuf, sizeDelimitedEncode(UsersChunkSchema, chunk));
      },
    ],
    [
      "SyncUsers over Connect",
      () => rest("POST", "/service.NodeService/SyncUsers", "application/proto", new Uint8Array()),
    ],
  ])("the reply to %s tells who was cut off", async (_, remove) => {
    const user = everywhere("told");
    await sync(user);
    const [connection] = await connect({ user, protocol: vless, from: 1 });
    const told = await remove({ ...user, inbounds: [] });
    expect(told).toBe('{"cut":1,"left":0,"users":[{"email":"told","cut":1,"left":[]}]}');
    await cutWithin(connection, 1_000);
  });

  it("asked to, the node kicks users who may connect again", async () => {
    const user = everywhere("asked");
    await sync(user);
    const [first, beside] = await connect({ user, protocol: vless, from: 0 }, { user, protocol: trojan, from: 0 });
    const kick = async (request: object) => {
      const headers = { "x-api-key": node.key, "content-type": "application/json" };
      const body = Buffer.from(JSON.stringify(request));
      const { status, text } = await node.request("POST", "/connections/kick", headers, body);
      return [status, JSON.parse(text)];
    };
    const one = { cut: 1, left: 0, users: [{ email: "asked", cut: 1, left: [] }] };
    expect(await kick({ emails: ["asked", "nobody"], inbounds: ["vless"] })).toEqual([200, one]);
    await cutWithin(first, 1_000);
    expect(beside?.dropped).toBe(false);
    expect(await kick({ emails: ["asked"] })).toEqual([200, one]);
    await cutWithin(beside, 1_000);
    expect(await kick({ emails: ["asked"] })).toEqual([200, { cut: 0, left: 0, users: [] }]);
    const [again] = await connect({ user, protocol: vless, from: 0 });
    await again?.carries();

    expect(await kick({ emails: ["asked"], inbounds: ["nowhere"] })).toEqual([
      404,
      expect.objectContaining({ ok: false, error: 'no inbound has the tag "nowhere"', code: "NOT_FOUND" }),
    ]);
    expect((await kick({ emails: [] }))[0]).toBe(400);
    expect((await kick({ emails: ["a", "a"] }))[0]).toBe(400);
  });

  it("asked over gRPC, the node tells who was left, and why", async () => {
    const [shy, neighbour] = [everywhere("shy"), everywhere("neighbour")];
    await sync(shy, neighbour);
    const [left] = await connect(
      { user: shy, protocol: vless, from: 2 },
      { user: neighbour, protocol: vless, from: 2 },
    );
    const { cut, users } = await createClient(ConnectionService, grpcTransport(node)).kickUsers({ emails: ["shy"] });
    expect(cut).toBe(0);
    expect(users).toMatchObject([
      {
        email: "shy",
        left: [
          {
            address: network.inside[2]?.v4,
            reason: LeftReason.SHARED_ADDRESS,
            inbounds: ["vless", "trojan", "hysteria"],
          },
        ],
      },
    ]);
    await left?.carries();
    expect(left?.dropped).toBe(false);
  });

  it("the node's info says that it can, and its metrics count", async () => {
    expect(await node.grpc.info()).toMatchObject({ kick: { available: true, reason: "" } });
    expect((await node.request("GET", "/metrics")).text).toMatch(/^garrison_user_connections_cut_total\{.*\} 1\d\d$/m);
  });

  it("the log tells how many, and names nobody but at debug", () => {
    const lines = node.log().split("\n");
    const told = lines.filter((line) => line.includes("connections of users cut"));
    expect(told.some((line) => line.includes('"cut":100,"left":0,"users":100'))).toBe(true);
    for (const line of lines.filter((line) => !line.includes('"level":"debug"'))) expect(line).not.toContain("user-7");
  });
});

async function* streamOf<T>(message: T): AsyncGenerator<T> {
  yield message;
}
