import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StatType, type User } from "../../gen/service/node_pb.ts";
import { type CompatNode, startNode } from "../compat/harness.ts";
import { type ByteTarget, exchange, type FirstBytes, startByteTarget } from "../support/byte-target.ts";
import { engineOf } from "../support/child-processes.ts";
import { freePorts } from "../support/ports.ts";
import { startSingBoxClient } from "../support/sing-box-client.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { type ClientProtocol, type ClientProtocols, createClientProtocols } from "./protocols.ts";

// Users of every protocol through two real clients, Xray and sing-box: what they carry is what the node counts.

interface Entrance {
  readonly protocol: ClientProtocol;
  readonly port: number;
  readonly user: User;
  readonly up: number;
  readonly down: number;
}

let node: CompatNode;
let target: ByteTarget;
let known: ClientProtocols;
let entrances: Entrance[];
beforeAll(async () => {
  [node, target, known] = await Promise.all([startNode(), startByteTarget(), createClientProtocols()]);
  const { protocols, userOf } = known;
  const ports = await freePorts(protocols.length);
  const inbounds = protocols.map(({ name, inbound }, n) => ({
    tag: name,
    listen: "127.0.0.1",
    port: ports[n] ?? 0,
    ...inbound,
  }));
  // Later versions of Xray refuse targets on this machine without such a rule.
  const outbounds = [{ tag: "direct", protocol: "freedom", settings: { finalRules: [{ action: "allow" }] } }];
  const config = JSON.stringify({ log: { loglevel: "warning" }, inbounds, outbounds });

  const atStart = protocols.map((protocol) => userOf(`${protocol.name}, at Start`, protocol));
  const live = protocols.map((protocol) => userOf(`${protocol.name}, live`, protocol));
  await node.grpc.start({ config, users: atStart });
  const engine = await engineOf(node.pid);
  await node.grpc.syncChunked({ index: 0n, last: true, users: live });
  expect(await engineOf(node.pid)).toBe(engine);

  entrances = [...atStart, ...live].map((user, n) => ({
    protocol: protocols[n % protocols.length] ?? expect.fail("no protocol"),
    port: ports[n % protocols.length] ?? 0,
    user,
    // Each another number, so that none can stand for another.
    up: 100_000 + 1_000 * n,
    down: 200_000 + 1_000 * n,
  }));
});
afterAll(() => Promise.all([node.close(), target.close(), known.close()]));

/** Bytes by user since the last reset. */
async function counted(reset = false): Promise<Record<string, { up: number; down: number }>> {
  const { stats } = await node.grpc.stats({ type: StatType.UsersStat, reset });
  const bytes: Record<string, { up: number; down: number }> = {};
  for (const { name, type, value } of stats) {
    bytes[name] ??= { up: 0, down: 0 };
    bytes[name][type === "uplink" ? "up" : "down"] += Number(value);
  }
  return bytes;
}

/** What became of those who used these entrances through one client: why, of each who could not. */
async function failuresOf(used: readonly Entrance[], { start, outboundOf, firstBytes }: Client): Promise<string[]> {
  const client = await start(used.map(({ protocol, port, user }) => outboundOf(protocol)(port, user)));
  try {
    const exchanges = client.proxyPorts.map((port, n) =>
      exchange(port, target, used[n]?.up ?? 0, used[n]?.down ?? 0, firstBytes),
    );
    const results = await Promise.allSettled(exchanges);
    return results.flatMap((result, n) =>
      result.status === "rejected" ? [`${used[n]?.user.email}: ${result.reason}`] : [],
    );
  } finally {
    await client.close();
  }
}

interface Client {
  readonly name: string;
  readonly firstBytes: FirstBytes;
  readonly start: typeof startXrayClient;
  readonly outboundOf: (protocol: ClientProtocol) => (port: number, user: User) => object;
}

const xrayClient: Client = {
  name: "Xray",
  firstBytes: "with the request",
  start: startXrayClient,
  outboundOf: ({ xray }) => xray,
};
const singBoxClient: Client = {
  name: "sing-box",
  firstBytes: "behind the reply",
  start: startSingBoxClient,
  outboundOf: ({ singBox }) => singBox,
};

describe.each([xrayClient, singBoxClient])("with $name as the client", (client) => {
  test("32. and 40. users of every protocol, with flows, carry bytes, given at Start or added live, and every byte is counted once", async () => {
    // By turns: Xray as a client has one connection to a Hysteria server, for all users that it has there.
    for (const when of ["at Start", "live"]) {
      const used = entrances.filter(({ user }) => user.email.endsWith(when));
      expect(await failuresOf(used, client)).toEqual([]);
    }
    const carried = Object.fromEntries(entrances.map(({ user, up, down }) => [user.email, { up, down }]));
    await expect.poll(() => counted(), { timeout: 10_000 }).toEqual(carried);
    expect(await counted(true)).toEqual(carried);
    expect(await counted()).toEqual({});
  }, 60_000);

  test("nobody gets in with credentials that no user has", async () => {
    const strangers = entrances
      .slice(0, known.protocols.length)
      .map((entrance) => ({ ...entrance, user: known.userOf("a stranger", entrance.protocol) }));
    expect(await failuresOf(strangers, client)).toHaveLength(strangers.length);
  }, 60_000);
});

test("a user who has a masque credential besides is one like all others, for an engine that lacks masque", async () => {
  const { protocol, port, up, down } = entrances[0] ?? expect.fail("no entrance");
  const user = known.userOf("masque", protocol);
  if (user.proxies?.masque) user.proxies.masque.pass = "a pass";
  await node.grpc.syncChunked({ index: 0n, last: true, users: [user] });
  expect(await failuresOf([{ protocol, port, user, up, down }], xrayClient)).toEqual([]);
});
