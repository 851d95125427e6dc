import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { User } from "../../gen/service/node_pb.ts";
import type { TrafficCounter, TrafficKind } from "../../src/node/engines/engine.ts";
import { EngineNotRunning } from "../../src/node/engines/engine-error.ts";
import { type ByteTarget, exchange, startByteTarget } from "../support/byte-target.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, type ProxyProtocol, proxyProtocols } from "../support/proxy-protocols.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { createEngineUnderTest, type EngineUnderTest } from "./engine-under-test.ts";
import {
  createHysteria,
  createVision,
  shadowsocks2022,
  shadowsocks2022WithoutUser,
  userOfAll,
} from "./more-protocols.ts";

const protocols = [...proxyProtocols, shadowsocks2022, await createVision(), await createHysteria()];
const tags = protocols.map(({ name }) => name);
const countable = protocols.filter(({ name }) => name !== "hysteria");

let target: ByteTarget;
let xray: EngineUnderTest;
let ports: number[];

beforeAll(async () => {
  target = await startByteTarget();
});
afterAll(() => target.close());

beforeEach(async () => {
  xray = await createEngineUnderTest();
  ports = await freePorts(protocols.length);
});
afterEach(() => xray.close());

function start(users: User[] = [], { countInbounds = false } = {}) {
  // Where there is Hysteria, inbounds are not counted.
  const served = countInbounds ? countable : protocols;
  const { policy, ...config } = JSON.parse(nodeConfig(ports, served));
  const text = JSON.stringify(countInbounds ? { ...config, policy } : config);
  return xray.engine.start({ config: text, users, excludeInbounds: [] });
}

/** Sends bytes as a user, through a real client that is closed afterwards. */
async function send(protocol: ProxyProtocol, user: User, up: number, down: number): Promise<void> {
  await using client = await clientOf(protocol, user);
  await exchange(client.proxyPort, target, up, down);
}

/** Fails when a user is let in. Some protocols keep a stranger waiting: none gets an answer within a second. */
async function expectRefused(protocol: ProxyProtocol, user: User): Promise<void> {
  await using client = await clientOf(protocol, user);
  const passed = exchange(client.proxyPort, target, 100, 100).then(
    () => true,
    () => false,
  );
  expect(await Promise.race([passed, sleep(1_000, false)])).toBe(false);
}

async function clientOf(protocol: ProxyProtocol, user: User) {
  const client = await startXrayClient([protocol.outbound(ports[tags.indexOf(protocol.name)] ?? 0, user)]);
  return { proxyPort: client.proxyPorts[0] ?? 0, [Symbol.asyncDispose]: () => client.close() };
}

async function counters(kind?: TrafficKind): Promise<Record<string, TrafficCounter>> {
  const { counters } = await xray.engine.readTraffic(kind);
  return Object.fromEntries(counters.map((counter) => [`${counter.kind} ${counter.name}`, counter]));
}

describe.each(protocols)("over $name", (protocol) => {
  test("a user of the start, one added later and one whose credential changed send and receive, and are counted", async () => {
    const [early, late, changed] = ["early", "late", "changed"].map((email) => userOfAll(email, protocol.name));
    if (early === undefined || late === undefined || changed === undefined) throw new Error("three users");
    await start([early, userOfAll("changed", protocol.name)]);
    await xray.engine.updateUsers([late, changed]);
    await send(protocol, early, 10_000, 300_000);
    await send(protocol, late, 20_000, 200_000);
    await send(protocol, changed, 30_000, 100_000);
    expect(await counters("user")).toMatchObject({
      "user early": { link: "traffic", uplinkBytes: 10_000n, downlinkBytes: 300_000n },
      "user late": { uplinkBytes: 20_000n, downlinkBytes: 200_000n },
      "user changed": { uplinkBytes: 30_000n, downlinkBytes: 100_000n },
    });
    expect((await counters())["outbound direct"]).toMatchObject({ uplinkBytes: 60_000n, downlinkBytes: 600_000n });
  });

  test("a removed user and an old credential are refused", async () => {
    const [gone, changed] = [userOfAll("gone", protocol.name), userOfAll("changed", protocol.name)];
    await start([gone, changed]);
    await xray.engine.updateUsers([{ ...gone, inbounds: [] }, userOfAll("changed", protocol.name)]);
    await Promise.all([expectRefused(protocol, gone), expectRefused(protocol, changed)]);
  });
});

test("an id that goes from one user to another in one call works for the new one", async () => {
  const vless = protocols[0];
  if (vless?.name !== "vless") throw new Error("vless first");
  const old = userOfAll("old", "vless");
  await start([old]);
  const heir = { ...old, email: "heir" };
  await xray.engine.updateUsers([heir, { ...old, inbounds: [] }]);
  await send(vless, heir, 1_000, 1_000);
  expect(await counters("user")).toMatchObject({ "user heir": { uplinkBytes: 1_000n } });
});

test("a user with the same id as one who goes goes on working", async () => {
  const vless = protocols[0];
  if (vless?.name !== "vless") throw new Error("vless first");
  const goes = userOfAll("goes", "vless");
  const stays = { ...goes, email: "stays" };
  await start([goes, stays]);
  await xray.engine.updateUsers([{ ...goes, inbounds: [] }]);
  await send(vless, stays, 1_000, 1_000);
  expect(await counters("user")).toMatchObject({ "user stays": { uplinkBytes: 1_000n } });
});

test("a Shadowsocks-2022 inbound without users lets nobody in with its own key", async () => {
  await start();
  await expectRefused(shadowsocks2022WithoutUser, userOfAll("nobody"));
});

test("each kind of counter is read alone or with the others, the API's own inbound never", async () => {
  const [protocol] = protocols;
  if (protocol === undefined) throw new Error("a protocol");
  const user = userOfAll("a>>>b", ...tags);
  await start([user], { countInbounds: true });
  await send(protocol, user, 1_000, 2_000);
  const inbounds = await counters("inbound");
  expect(Object.keys(inbounds).sort()).toEqual(countable.map(({ name }) => `inbound ${name}`).sort());
  expect(Number(inbounds["inbound vless"]?.uplinkBytes)).toBeGreaterThan(1_000);
  expect(Object.keys(await counters("outbound")).sort()).toEqual(["outbound block", "outbound direct"]);
  expect(await counters("user")).toEqual({ "user a>>>b": expect.objectContaining({ uplinkBytes: 1_000n }) });
  expect(Object.keys(await counters())).toHaveLength(countable.length + 3);
});

test("counters are read without being reset, and told for the last time before a planned end", async () => {
  const [protocol] = protocols;
  if (protocol === undefined) throw new Error("a protocol");
  const user = userOfAll("1", ...tags);
  await start([user]);
  await send(protocol, user, 5_000, 7_000);
  const first = await counters();
  expect(await counters()).toEqual(first);
  const { incarnation } = await xray.engine.readTraffic();
  await xray.engine.stop();
  expect(xray.drained).toEqual([
    {
      incarnation,
      counters: expect.arrayContaining([
        { kind: "user", name: "1", link: "traffic", uplinkBytes: 5_000n, downlinkBytes: 7_000n },
      ]),
    },
  ]);
});

test("a reading that is on its way together with the last one is not told: it could seem to be the later of the two", async () => {
  await start();
  const pid = await xray.pid();
  process.kill(pid, "SIGSTOP");
  const reading = xray.engine.readTraffic().catch((error: unknown) => error);
  await sleep(50);
  const stopped = xray.engine.stop();
  await sleep(500); // for the last look to begin, for which the engine has three seconds
  process.kill(pid, "SIGCONT");
  expect(await reading).toBeInstanceOf(EngineNotRunning);
  await stopped;
  expect(xray.drained).toHaveLength(1);
});
