import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { StatType, type User } from "../../gen/service/node_pb.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { type LossyRelay, startLossyRelay } from "../support/lossy-relay.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { type StatsLine, statsWays } from "../support/stats-ways.ts";
import { admitted } from "../support/users-online.ts";
import { type CompatNode, startNode } from "./harness.ts";

// The original loses what it has reported in a reply that never arrives.

let node: CompatNode;
let target: ByteTarget;
let relay: LossyRelay;
let ports: number[];
/** Reaches the node past the relay. */
let direct: StatsLine;
const lines: StatsLine[] = [];
const user = userOf("42", "vless");

beforeAll(async () => {
  [node, target, ports] = await Promise.all([startNode(), startByteTarget(), freePorts(4)]);
  relay = await startLossyRelay(new URL(node.url));
  await node.grpc.start({ config: nodeConfig(ports), users: [user] });
  const [gRPC] = statsWays;
  if (gRPC === undefined) throw new Error("no way");
  direct = gRPC.open(node.url, { "x-api-key": node.key });
});
afterEach(async () => {
  for (const line of lines.splice(0)) line.close();
  relay.reset();
  // What the tests leave on its way comes back, and goes with the next reading.
  await delay(50);
  await direct.read();
});
afterAll(async () => {
  direct.close();
  await Promise.all([relay.close(), node.close(), target.close()]);
});

async function carry(who: User, bytes: number): Promise<bigint> {
  const protocol = proxyProtocols[0];
  if (protocol === undefined) throw new Error("no protocol");
  expect(await admitted([{ protocol, port: ports[0] ?? 0, user: who }], target, { up: bytes, down: bytes })).toEqual([
    true,
  ]);
  return BigInt(2 * bytes);
}

/** Bytes that nobody has taken. */
async function unread(): Promise<bigint> {
  const { stats } = await node.grpc.stats({ type: StatType.UsersStat });
  return stats.reduce((sum, { value }) => sum + value, 0n);
}

const becomes = (bytes: bigint) =>
  vi.waitFor(async () => expect(await unread()).toBe(bytes), { timeout: 5_000, interval: 20 });

/** How a relay makes that a reply never arrives. Each resolves once the connection is reset. */
const cuts: [string, (read: () => Promise<unknown>) => Promise<unknown>][] = [
  [
    "before the request is answered",
    (read) => {
      relay.resetBehindRequest();
      return read();
    },
  ],
  [
    "in the middle of the reply",
    async (read) => {
      const swallowed = relay.swallowAfter(60);
      const failure = read();
      await swallowed;
      relay.reset();
      return failure;
    },
  ],
  [
    "right after the reply, which has not arrived",
    async (read) => {
      const swallowed = relay.swallowAfter(0);
      const failure = read();
      await swallowed;
      await delay(50);
      relay.reset();
      return failure;
    },
  ],
];

describe.each(statsWays)("GetStats with reset over $name", ({ open }) => {
  const connect = async () => {
    const line = open(relay.url, { "x-api-key": node.key });
    lines.push(line);
    await line.read();
    await delay(20); // for the acknowledgement
    return line;
  };
  const fails = (line: StatsLine) => line.read().then(() => expect.unreachable(), String);

  it.each(cuts)("reports the bytes once more when the line is cut %s", async (_, cut) => {
    const line = await connect();
    const carried = await carry(user, 10_000);
    await cut(() => fails(line));
    await becomes(carried);
    expect(await direct.read()).toBe(carried);
    expect(await direct.read()).toBe(0n);
    await delay(50);
    expect(await unread()).toBe(0n);
  });

  it("reports bytes to one caller only, while a reply is on its way", async () => {
    const line = await connect();
    const first = await carry(user, 10_000);
    const swallowed = relay.swallowAfter(0);
    const failure = fails(line);
    await swallowed;
    await delay(50);
    const second = await carry(user, 3_000);
    expect(await direct.read()).toBe(second);
    expect(await direct.read()).toBe(0n);
    relay.reset();
    await failure;
    await becomes(first);
    expect(await direct.read()).toBe(first);
  });

  it("reports the bytes of a reply that has arrived no more", async () => {
    const line = await connect();
    const carried = await carry(user, 10_000);
    expect(await line.read()).toBe(carried);
    expect(await line.read()).toBe(0n);
    await delay(50);
    relay.reset();
    await delay(50);
    expect(await unread()).toBe(0n);
  });
});
