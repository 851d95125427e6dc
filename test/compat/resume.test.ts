import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, truncate, writeFile } from "node:fs/promises";
import { Agent, request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { StatRequestSchema, StatResponseSchema, StatType, type User } from "../../gen/service/node_pb.ts";
import { bootId, startTicks } from "../../src/platform/proc.ts";
import { watchersOf } from "../engines/engine-under-test.ts";
import { type ByteTarget, exchange, startByteTarget } from "../support/byte-target.ts";
import { engineOf, isAlive } from "../support/child-processes.ts";
import { grpcClient } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { connectSteadily, type EchoTarget, startEchoTarget } from "../support/steady-connections.ts";
import { admitted } from "../support/users-online.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { type CompatNode, startNode } from "./harness.ts";
import { startMaintained } from "./maintenance.ts";

// A node goes away, and another one is started in its data directory.

let data: string;
let ports: number[];
let target: ByteTarget;
let echo: EchoTarget;
const nodes = new Set<CompatNode>();
beforeEach(async () => {
  [data, ports, target, echo] = await Promise.all([
    mkdtemp(join(tmpdir(), "garrison-resume-")),
    freePorts(4),
    startByteTarget(),
    startEchoTarget(),
  ]);
});
afterEach(async () => {
  for (const node of nodes) await node.close();
  nodes.clear();
  const pid = await recordedEngine().catch(() => 0);
  if (pid > 0 && (await isAlive(pid))) process.kill(pid, "SIGKILL");
  await Promise.all([target.close(), echo.close(), rm(data, { recursive: true })]);
});

const on = { GARRISON_RESUME: "on" };

async function start(variables: Record<string, string> = on): Promise<CompatNode> {
  const node = await startNode({ GARRISON_DATA_DIR: data, ...variables });
  nodes.add(node);
  return node;
}

/** Ends a node; its engine may live on. */
async function end(node: CompatNode, signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  process.kill(node.pid, signal);
  await expect.poll(() => isAlive(node.pid), { timeout: 20_000, interval: 5 }).toBe(false);
  nodes.delete(node);
  await node.close();
}

/** The engine that a node has noted, by pid. */
async function recordedEngine(): Promise<number> {
  return JSON.parse(await readFile(join(data, "node/run/xray.json"), "utf8")).pid;
}

/** Every Xray of this test, by pid: those that were noted to run in its data directory open its pipe or socket there. */
async function enginesHere(): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const output = join(data, "node/run/xray-output");
  const writes = await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/fd/1`).catch(() => "")));
  return pids.filter((_, index) => writes[index] === output);
}

const isStarted = (node: CompatNode) => () => node.grpc.info().then(({ started }) => started);
const untilStarted = (node: CompatNode) => expect.poll(isStarted(node), { timeout: 20_000, interval: 5 }).toBe(true);

const [vless] = proxyProtocols;
const entrance = (user: User) => {
  if (vless === undefined) throw new Error("no vless");
  return { protocol: vless, port: ports[0] ?? 0, user };
};
const letIn = (...users: User[]) => admitted(users.map(entrance), target);

async function clientOf(user: User) {
  const client = await startXrayClient([entrance(user).protocol.outbound(ports[0] ?? 0, user)]);
  onTestFinished(() => client.close());
  return client.proxyPorts[0] ?? 0;
}

async function bytesOf(node: CompatNode, name: string, reset: boolean): Promise<Record<string, number>> {
  const { stats } = await node.grpc.stats({ type: StatType.UserStat, name, reset });
  return Object.fromEntries(stats.map(({ type, value }) => [type, Number(value)]));
}

const [first, synced, removed] = [userOf("1", "vless"), userOf("2", "vless"), userOf("3", "vless")];

/** A node with users of every age: from the start, from a sync, and one that was removed. */
async function startWithUsers(): Promise<CompatNode> {
  const node = await start();
  await node.grpc.start({ config: nodeConfig(ports), users: [first, removed] });
  await node.grpc.syncUser(synced);
  await node.grpc.syncUser({ ...removed, inbounds: [] });
  return node;
}

describe("with GARRISON_RESUME=on", () => {
  it.each(["SIGKILL", "SIGTERM"] as const)(
    "%s of the node costs nobody a connection, and the next node goes on with the engine and its counters",
    async (signal) => {
      const node = await startWithUsers();
      const port = await clientOf(first);
      await exchange(port, target, 3_000, 4_000);
      const steady = await connectSteadily(port, echo);
      onTestFinished(() => steady.close());
      await expect.poll(async () => (await bytesOf(node, "1", false)).uplink).toBeGreaterThanOrEqual(3_000);
      const [engine, before] = [await recordedEngine(), await bytesOf(node, "1", true)];
      expect(before.uplink).toBeGreaterThanOrEqual(3_000);
      // It is delivered when its connection carries another request, or an answer to a PING.
      await node.grpc.info();
      await expect.poll(() => readdir(join(data, "node"))).toContain("counters");
      await end(node, signal);
      await steady.carries();
      await exchange(port, target, 500_000, 700_000);

      const next = await start();
      await untilStarted(next);
      expect(await recordedEngine()).toBe(engine);
      expect(await enginesHere()).toEqual([engine]);
      expect(await letIn(first, synced, removed)).toEqual([true, true, false]);
      await steady.carries();
      expect(steady.dropped).toBe(false);
      steady.close();
      const after = await bytesOf(next, "1", false);
      // What travelled meanwhile, and a byte every 10 ms: nothing of what was read before.
      expect(after.uplink).toBeGreaterThanOrEqual(500_000);
      expect(after.uplink).toBeLessThan(502_500);
      expect(after.downlink).toBeGreaterThanOrEqual(700_000);
      expect(after.downlink).toBeLessThan(703_500);
      expect(await next.grpc.info()).toMatchObject({
        started: true,
        coreVersion: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      });

      // It is the node's engine like any other: changed, watched over, and stopped.
      await next.grpc.syncUser(removed);
      expect(await letIn(removed)).toEqual([true]);
      process.kill(engine, "SIGKILL");
      await expect.poll(async () => (await recordedEngine()) !== engine, { timeout: 10_000 }).toBe(true);
      await untilStarted(next);
      expect(await letIn(first, synced, removed)).toEqual([true, true, true]);
      await next.grpc.stop();
      expect(await enginesHere()).toEqual([]);
      await end(next, "SIGTERM");
      const last = await start();
      await expect.poll(() => last.grpc.info()).toMatchObject({ started: false, coreVersion: "" });
      expect(await readdir(join(data, "node"))).not.toContain("xray-state");
    },
  );

  it("what was read over HTTP/1.1 just before SIGTERM, on a connection that stays open, is not read again", async () => {
    const node = await startWithUsers();
    await exchange(await clientOf(first), target, 3_000, 4_000);
    await expect.poll(async () => (await bytesOf(node, "1", false)).uplink).toBeGreaterThanOrEqual(3_000);
    const agent = new Agent({ keepAlive: true, ca: node.ca });
    onTestFinished(() => agent.destroy());
    const query = create(StatRequestSchema, { type: StatType.UserStat, name: "1", reset: true });
    const body = toBinary(StatRequestSchema, query);
    const headers = { "x-api-key": node.key, "content-type": "application/x-protobuf", "content-length": body.length };
    const asked = request(`${node.url}/stats`, { agent, headers }).end(body);
    const [response] = await once(asked, "response");
    const message = fromBinary(StatResponseSchema, Buffer.concat(await Array.fromAsync(response)));
    expect(Number(message.stats[0]?.value)).toBeGreaterThanOrEqual(3_000);
    await end(node, "SIGTERM");
    const next = await start();
    await untilStarted(next);
    expect(Object.values(await bytesOf(next, "1", false))).toEqual([0, 0]);
  });

  it("what was in force is started again after a reboot, with its users and its routing", async () => {
    const node = await startWithUsers();
    const rule = JSON.stringify({ ruleTag: "mine", domain: ["example.org"], outboundTag: "direct" });
    await grpcClient(node).addRoutingRule({ rule });
    const engine = await recordedEngine();
    await end(node, "SIGKILL");
    process.kill(engine, "SIGKILL");
    const next = await start();
    await untilStarted(next);
    expect(await recordedEngine()).not.toBe(engine);
    expect(await enginesHere()).toEqual([await recordedEngine()]);
    expect(await letIn(first, synced, removed)).toEqual([true, true, false]);
    const { rules } = await grpcClient(next).listRoutingRules({});
    expect(rules.map(({ ruleTag }) => ruleTag)).toContain("mine");
  });

  it("nobody else can read the state, and a torn file means the one before", async () => {
    const node = await startWithUsers();
    const state = join(data, "node/xray-state");
    expect((await stat(state)).mode & 0o777).toBe(0o600);
    expect((await stat(join(data, "node/run/xray.json"))).mode & 0o777).toBe(0o600);
    const restart = async (running: CompatNode) => {
      await end(running, "SIGKILL");
      process.kill(await recordedEngine(), "SIGKILL");
    };
    await restart(node);
    // The last that was written is that the third user is gone.
    await truncate(state, (await stat(state)).size - 3);
    const next = await start();
    await untilStarted(next);
    expect(await letIn(first, synced)).toEqual([true, true]);
    await next.grpc.syncUsers({ users: [synced] });
    await next.grpc.start({ config: nodeConfig(ports), users: [synced, removed] });
    await restart(next);
    await writeFile(state, "torn");
    const last = await start();
    await untilStarted(last);
    expect(await letIn(synced)).toEqual([true]);
  });

  it("lines of the engine reach the log of the next node, those said meanwhile too", async () => {
    const node = await startWithUsers();
    const port = await clientOf(first);
    await end(node, "SIGKILL");
    await exchange(port, target, 1_000, 1_000);
    const next = await start();
    await untilStarted(next);
    const missing = new Set([/accepted .* email: 1$/, /^\[garrison\] goes on with the xray/]);
    for await (const { detail } of grpcClient(next).getLogs({})) {
      for (const line of missing) if (line.test(detail)) missing.delete(line);
      if (missing.size === 0) break;
    }
  });

  it("a restart that the maintenance API is asked for costs nobody a connection", async () => {
    const node = await startMaintained({ ...on, GARRISON_DATA_DIR: data });
    await node.grpc.start({ config: nodeConfig(ports), users: [first] });
    const steady = await connectSteadily(await clientOf(first), echo);
    onTestFinished(() => steady.close());
    const engine = await recordedEngine();
    await node.post("/node/hard_reset");
    const starts = () => node.log().match(/"msg":"certificate"/g)?.length;
    await expect.poll(starts, { timeout: 20_000, interval: 100 }).toBe(2);
    await expect.poll(isStarted(node), { timeout: 20_000, interval: 100 }).toBe(true);
    expect(await recordedEngine()).toBe(engine);
    await steady.carries();
    expect(steady.dropped).toBe(false);
    // Its child it still is, and dead it is a zombie.
    process.kill(engine, "SIGKILL");
    await expect.poll(async () => (await recordedEngine()) !== engine, { timeout: 10_000 }).toBe(true);
    await untilStarted(node);
    await node.grpc.stop();
    expect(await enginesHere()).toEqual([]);
  });

  it("a Start that comes first finds the engine, and drops nobody", async () => {
    const node = await startWithUsers();
    const steady = await connectSteadily(await clientOf(first), echo);
    onTestFinished(() => steady.close());
    const engine = await recordedEngine();
    await end(node, "SIGKILL");
    const next = await start();
    await next.grpc.start({ config: nodeConfig(ports), users: [first, synced] });
    expect(await recordedEngine()).toBe(engine);
    await steady.carries();
    expect(steady.dropped).toBe(false);
  });

  it("a second node in the same directory is refused, and says why", async () => {
    const node = await startWithUsers();
    await expect(start()).rejects.toThrow(`${join(data, "node")} is in use by process ${node.pid}`);
    expect(await letIn(first)).toEqual([true]);
  });

  it("turned off, the engine that was left is ended, and the state is forgotten", async () => {
    const node = await startWithUsers();
    const engine = await recordedEngine();
    await end(node, "SIGKILL");
    expect(await isAlive(engine)).toBe(true);
    const next = await start({});
    await expect.poll(() => isAlive(engine), { timeout: 10_000 }).toBe(false);
    expect(await next.grpc.info()).toMatchObject({ started: false });
    expect((await readdir(join(data, "node"))).filter((name) => /state|counters/.test(name))).toEqual([]);
  });
});

describe("without it", () => {
  it("an engine whose node and watcher were both killed is ended by the next node, which can use its ports", async () => {
    const node = await start({});
    await node.grpc.start({ config: nodeConfig(ports), users: [first] });
    const engine = await engineOf(node.pid);
    for (const watcher of await watchersOf(engine)) process.kill(watcher, "SIGKILL");
    await end(node, "SIGKILL");
    expect(await isAlive(engine)).toBe(true);
    const next = await start({});
    await next.grpc.start({ config: nodeConfig(ports), users: [first] });
    expect(await isAlive(engine)).toBe(false);
    expect(await letIn(first)).toEqual([true]);
  });

  it.each([
    [
      "has another program",
      (pid: number) => ({ pid, startTicks: startTicks(pid), bootId: bootId(), executable: "/usr/bin/xray" }),
    ],
    [
      "was started at another time",
      (pid: number, executable: string) => ({ pid, startTicks: "1", bootId: bootId(), executable }),
    ],
    [
      "ran before a reboot",
      (pid: number, executable: string) => ({ pid, startTicks: startTicks(pid), bootId: "", executable }),
    ],
  ])("a process with the pid of an engine that %s is left alone", async (_, record) => {
    const other = spawn("sleep", ["60"]);
    onTestFinished(() => void other.kill("SIGKILL"));
    await once(other, "spawn");
    const pid = other.pid ?? 0;
    const executable = await readlink(`/proc/${pid}/exe`);
    const run = join(data, "node/run");
    await mkdir(run, { recursive: true, mode: 0o700 });
    await writeFile(join(run, "xray.json"), JSON.stringify({ ...record(pid, executable), plan: "", version: "" }));
    const node = await start({});
    await node.grpc.start({ config: nodeConfig(ports), users: [first] });
    expect(await isAlive(pid)).toBe(true);
  });
});
