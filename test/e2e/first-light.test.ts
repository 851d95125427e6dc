import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { StatType, type User } from "../../gen/service/node_pb.ts";
import { type RealNode, startRealNode } from "../callers/real-node.ts";
import { type ByteTarget, exchange, startByteTarget } from "../support/byte-target.ts";
import { apiProtocols, type NodeCaller } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { startXrayClient } from "../support/xray-client.ts";

// `garrison node`, a real Xray and a real client of it: users are added, bytes travel, and the counters tell how many.

let node: RealNode;
let target: ByteTarget;
let ca: string;
beforeAll(async () => {
  [node, target] = await Promise.all([startRealNode(), startByteTarget()]);
  ca = await readFile(node.certificate, "utf8");
});
afterAll(() => Promise.all([node.close(), target.close()]));

/** What the user of the nth protocol sends and receives: each another number, so that none can stand for another. */
const upBytes = (n: number) => 300_000 + 1_000 * n;
const downBytes = (n: number) => 500_000 + 1_000 * n;

/** Bytes by user, from the counters. */
async function counted(caller: NodeCaller, reset: boolean): Promise<Record<string, [up: number, down: number]>> {
  const { stats } = await caller.stats({ type: StatType.UsersStat, reset });
  const bytes: Record<string, [up: number, down: number]> = {};
  for (const { name, type, value } of stats) {
    const entry = bytes[name] ?? [0, 0];
    entry[type === "uplink" ? 0 : 1] += Number(value);
    bytes[name] = entry;
  }
  return bytes;
}

describe.each(apiProtocols)("over $name", ({ caller: callerOf }) => {
  let caller: NodeCaller;
  let ports: number[];
  let users: User[];
  beforeEach(async () => {
    caller = callerOf({ url: node.url, key: node.key, ca });
    ports = await freePorts(proxyProtocols.length);
    users = proxyProtocols.map(({ name }) => userOf(`user of ${name}`, name));
  });

  it("a user of each protocol is added, their bytes travel, and every byte is counted once", async () => {
    expect(await caller.info()).toMatchObject({ started: false });
    expect(await caller.start({ config: nodeConfig(ports) })).toMatchObject({ started: true });
    for (const user of users) await caller.syncUser(user);

    const client = await startXrayClient(
      proxyProtocols.map((protocol, n) => protocol.outbound(ports[n] ?? 0, users[n] ?? userOf("nobody"))),
    );
    await Promise.all(client.proxyPorts.map((port, n) => exchange(port, target, upBytes(n), downBytes(n))));
    await client.close();

    const carried = Object.fromEntries(users.map(({ email }, n) => [email, [upBytes(n), downBytes(n)]]));
    // Xray counts payload, to the byte, as it passes; the last of it may be a moment behind the client.
    await expect.poll(() => counted(caller, false)).toEqual(carried);
    expect(await counted(caller, true)).toEqual(carried);
    expect(await counted(caller, true)).toEqual({});

    const one = await caller.stats({ type: StatType.Outbound, name: "direct", reset: true });
    const sum = (bytesOf: (n: number) => number) => users.reduce((total, _, n) => total + bytesOf(n), 0);
    expect(one.stats.map(({ type, value }) => [type, Number(value)])).toEqual([
      ["uplink", sum(upBytes)],
      ["downlink", sum(downBytes)],
    ]);
    await caller.stop();
    expect(await caller.info()).toMatchObject({ started: false });
  });
});
