import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { fromBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type KickUsersResponse, LeftReasonSchema } from "../../../../gen/garrison/node/v1/connections_pb.ts";
import {
  GetAllOnlineUsersResponseSchema,
  GetStatsOnlineIpListRequestSchema,
  GetStatsOnlineIpListResponseSchema,
} from "../../../../gen/xray/app/stats/command/command_pb.ts";
import { refuse, reply, startXrayStandIn, type XrayStandIn } from "../../../../test/engines/xray-stand-in.ts";
import { EngineUnreachable } from "../engine-error.ts";
import { createConnectionCutter } from "../sockets/connection-cutter.ts";
import { XrayApi } from "./api.ts";
import type { Scene } from "./cut-off.ts";
import { Kicks } from "./kicks.ts";
import type { Listener } from "./listeners.ts";
import type { Loss } from "./losses.ts";

// Real connections and a real `ss`; an Xray that says of its users what the test says.

const cutter = await createConnectionCutter({ env: process.env });

let xray: XrayStandIn;
let api: XrayApi;
let servers: Server[];
let sockets: Socket[];
/** Where users are online from, by e-mail. Those who are cut stay online, as if over UDP. */
let online: Map<string, string[]>;
/** Users who may connect, and to which inbounds. */
let allowed: Map<string, string[]>;
let calls: string[];
let kicks: Kicks;

beforeEach(async () => {
  xray = await startXrayStandIn();
  api = new XrayApi(xray.socketPath);
  [servers, sockets, online, allowed, calls] = [[], [], new Map(), new Map(), []];
  kicks = new Kicks(cutter);
  xray.answer = (stream, message, path) => {
    if (path.endsWith("/GetAllOnlineUsers")) {
      calls.push("all");
      reply(stream, GetAllOnlineUsersResponseSchema, {
        users: [...online.keys()].map((email) => `user>>>${email}>>>online`),
      });
      return;
    }
    const { name } = fromBinary(GetStatsOnlineIpListRequestSchema, message);
    const email = name.slice("user>>>".length, -">>>online".length);
    calls.push(email);
    const addresses = online.get(email);
    if (addresses === undefined) return refuse(stream, 5, `${name} not found.`);
    const ips = Object.fromEntries(addresses.map((address) => [address, 0n]));
    reply(stream, GetStatsOnlineIpListResponseSchema, { name, ips });
  };
});
afterEach(async () => {
  api.close();
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  await xray.close();
});

/** An inbound that takes connections on this address, or on all. */
async function inbound(tag: string, localAddress?: string, port = 0): Promise<Listener & { port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => sockets.push(socket.on("error", () => undefined)));
  servers.push(server);
  await once(server.listen(port, localAddress), "listening");
  const { port: taken } = server.address() as AddressInfo;
  return { tag, tcp: { ports: [{ from: taken, to: taken }], localAddress }, udp: false, indirect: false, port: taken };
}

/** A connection from an address; what is returned tells whether it lives. */
async function connection(from: string, port: number, to = "127.0.0.1"): Promise<() => boolean> {
  const socket = connect({ host: to, port, localAddress: from });
  socket.on("error", () => undefined);
  sockets.push(socket);
  await once(socket, "connect");
  return () => !socket.destroyed;
}

const scene: Scene = {
  get api() {
    return api;
  },
  mayConnect: (email) => allowed.has(email),
  mayConnectBeside: (email, listeners) =>
    (allowed.get(email) ?? []).some((tag) => !listeners.some((listener) => listener.tag === tag)),
};
const kick = (...losses: Loss[]) => kicks.kick(losses, scene);
const loss = (email: string, ...listeners: Listener[]): Loss => ({ email, listeners });
const summary = ({ users }: KickUsersResponse) =>
  users.map(({ email, cut, left }) => [
    email,
    cut,
    ...left.map(
      ({ address, reason, inbounds }) => `${address} ${LeftReasonSchema.value[reason]?.localName} ${inbounds}`,
    ),
  ]);

describe.skipIf(cutter.inability !== undefined)("an address is cut off", () => {
  test("when only users are online from it who may not connect any more", async () => {
    const tcp = await inbound("tcp");
    online = new Map([
      ["gone", ["127.0.0.2"]],
      ["gone before", ["127.0.0.2"]],
      ["elsewhere", ["127.0.0.3"]],
    ]);
    allowed.set("elsewhere", ["tcp"]);
    const [cut, kept] = [await connection("127.0.0.2", tcp.port), await connection("127.0.0.3", tcp.port)];
    expect(summary(await kick(loss("gone", tcp)))).toEqual([["gone", 1]]);
    await expect.poll(cut).toBe(false);
    expect(kept()).toBe(true);
  });

  test("of those inbounds alone that all who are online from it lose", async () => {
    const [one, two] = [await inbound("one"), await inbound("two")];
    for (const email of ["a", "b"]) {
      online.set(email, ["127.0.0.2"]);
      allowed.set(email, ["other"]);
    }
    const [first, second] = [await connection("127.0.0.2", one.port), await connection("127.0.0.2", two.port)];
    expect(summary(await kick(loss("a", one, two), loss("b", one)))).toEqual([
      ["a", 1, "127.0.0.2 SHARED_ADDRESS two"],
      ["b", 0],
    ]);
    await expect.poll(first).toBe(false);
    expect(second()).toBe(true);
  });

  test("of the one address of this machine that the inbound listens on", async () => {
    const own = await inbound("own", "127.0.0.1");
    await inbound("other", "127.0.0.5", own.port);
    online.set("gone", ["127.0.0.2"]);
    const here = await connection("127.0.0.2", own.port);
    const there = await connection("127.0.0.2", own.port, "127.0.0.5");
    expect(summary(await kick(loss("gone", own)))).toEqual([["gone", 1]]);
    await expect.poll(here).toBe(false);
    expect(there()).toBe(true);
  });

  test("whether or not the user has sent everything already", async () => {
    const tcp = await inbound("tcp");
    online.set("gone", ["127.0.0.2"]);
    const alive = await connection("127.0.0.2", tcp.port);
    sockets[0]?.end();
    await expect.poll(() => sockets[0]?.writableFinished).toBe(true);
    expect(summary(await kick(loss("gone", tcp)))).toEqual([["gone", 1]]);
    await expect.poll(alive).toBe(false);
  });
});

describe.skipIf(cutter.inability !== undefined)("an address is left, and it is said why,", () => {
  test("when a user is online from it who may connect to any inbound", async () => {
    const tcp = await inbound("tcp");
    for (const email of ["gone", "neighbour"]) online.set(email, ["127.0.0.2", "[2001:db8::1]"]);
    allowed.set("neighbour", ["other"]);
    const kept = await connection("127.0.0.2", tcp.port);
    expect(summary(await kick(loss("gone", tcp)))).toEqual([
      ["gone", 0, "127.0.0.2 SHARED_ADDRESS tcp", "2001:db8::1 SHARED_ADDRESS tcp"],
    ]);
    expect(kept()).toBe(true);
  });

  test("when this Xray does not tell who else is online", async () => {
    const tcp = await inbound("tcp");
    online.set("gone", ["127.0.0.2"]);
    const tell = xray.answer;
    xray.answer = (stream, message, path) =>
      path.endsWith("/GetAllOnlineUsers")
        ? refuse(stream, 12, "unknown method GetAllOnlineUsers for service xray.app.stats.command.StatsService")
        : tell(stream, message, path);
    const kept = await connection("127.0.0.2", tcp.port);
    const response = await kick(loss("gone", tcp));
    expect(summary(response)).toEqual([["gone", 0, "127.0.0.2 FAILED tcp"]]);
    expect(response.users[0]?.left[0]?.detail).toContain("26.1.13");
    expect(kept()).toBe(true);
  });

  test("when the user still is online from it and there was nothing to cut", async () => {
    online.set("gone", ["127.0.0.2"]);
    const quic: Listener = { tag: "quic", tcp: undefined, udp: true, indirect: false };
    const socket: Listener = { tag: "socket", tcp: undefined, udp: false, indirect: true };
    const told = async (...listeners: Listener[]) => summary(await kick(loss("gone", ...listeners)));
    expect(await told(await inbound("tcp"))).toEqual([["gone", 0, "127.0.0.2 NOT_A_DIRECT_PEER tcp"]]);
    expect(await told(quic, socket)).toEqual([
      ["gone", 0, "127.0.0.2 UDP_NOT_SUPPORTED quic", "127.0.0.2 NOT_A_DIRECT_PEER socket"],
    ]);
    allowed.set("gone", ["other"]);
    expect(await told(await inbound("tcp"))).toEqual([["gone", 0]]);
    expect(await told(quic)).toEqual([["gone", 0, "127.0.0.2 UDP_NOT_SUPPORTED quic"]]);
  });
});

describe("Xray is asked", () => {
  test("once about each of a few users, when none is online", async () => {
    expect(summary(await kick(loss("a", await inbound("tcp")), loss("b", await inbound("tcp"))))).toEqual([]);
    expect(calls).toEqual(["a", "b"]);
  });

  test("once about many users, when none is online", async () => {
    online.set("somebody", ["127.0.0.2"]);
    allowed.set("somebody", ["tcp"]);
    const tcp = await inbound("tcp");
    await kick(...Array.from({ length: 1_000 }, (_, index) => loss(`user-${index}`, tcp)));
    expect(calls).toEqual(["all"]);
  });

  test.skipIf(cutter.inability !== undefined)("once for all who go while it is asked", async () => {
    const tcp = await inbound("tcp");
    for (const email of ["first", "a", "b", "c"]) online.set(email, ["127.0.0.2"]);
    const responses = await Promise.all(["first", "a", "b", "c", "a"].map((email) => kick(loss(email, tcp))));
    expect(calls.filter((call) => call === "all")).toHaveLength(2);
    expect(responses.map((response) => response.users.map(({ email }) => email))).toEqual([
      ["first"],
      ["a"],
      ["b"],
      ["c"],
      [],
    ]);
  });

  test("and goes away: whoever waits is told", async () => {
    xray.answer = () => xray.drop();
    const tcp = await inbound("tcp");
    await expect(kick(loss("a", tcp))).rejects.toThrow(EngineUnreachable);
    await expect(kick(loss("a", tcp))).rejects.toThrow(EngineUnreachable);
  });
});
