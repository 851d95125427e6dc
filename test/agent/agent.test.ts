import { readFile, stat } from "node:fs/promises";
import { createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EngineKind, EngineState } from "../../gen/garrison/core/v1/node_status_pb.ts";
import { NodeService as Fleet, SyncStatus } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionService } from "../../gen/garrison/core/v1/subscriptions_pb.ts";
import { NodeService } from "../../gen/service/node_pb.ts";
import { createAuthority } from "../../src/platform/identity/authority.ts";
import { until } from "../engines/engine-under-test.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { freePorts } from "../support/ports.ts";
import { carry, openVless, untilAdmitted } from "../support/vless-client.ts";
import { type CoreAtHand, type LinkAtHand, startCore } from "./core-at-hand.ts";
import { type NodeAtHand, startNode } from "./node-at-hand.ts";

let core: CoreAtHand;
let node: NodeAtHand;
let target: ByteTarget;
let nodeId: number;
let port: number;
beforeEach(async () => {
  core = await startCore();
  target = await startByteTarget();
  [port = 0] = await freePorts(1);
  node = await startNode({ CORE_ENROLMENT_CODE: await core.code() });
  await until("the node is enrolled", async () => (await nodes()).length > 0, 10_000);
  nodeId = Number((await nodes())[0]?.id);
});
afterEach(async (context) => {
  if (context.task.result?.state === "fail") console.log(node.log(), await booked(), await countedByEngine());
  await node.close();
  await target.close();
  await core.close();
});

async function nodes() {
  return (await core.operate(Fleet).listNodes({})).nodes;
}

async function isAdmitted({ id }: LinkAtHand): Promise<boolean> {
  return carry(port, id, target, 8, 8).then(
    () => true,
    () => false,
  );
}

const untilSynced = () =>
  until("Core knows that it runs", async () => (await nodes())[0]?.syncStatus === SyncStatus.SYNCED, 20_000);
const untilAdmittedTo = (link: LinkAtHand) => until("the user is let in", () => isAdmitted(link), 10_000);
const untilRefused = (link: LinkAtHand, ms = 10_000) =>
  until("the user is refused", async () => !(await isAdmitted(link)), ms);

/** Bytes of all users that Core has booked. */
async function booked(): Promise<number> {
  const rows = await core.database.db.selectFrom("usage_minute").select(["bytes_up", "bytes_down"]).execute();
  return rows.reduce((sum, { bytes_up, bytes_down }) => sum + Number(bytes_up) + Number(bytes_down), 0);
}

/** Bytes of all users that the engine has counted since its process began. */
async function countedByEngine(): Promise<number | undefined> {
  const stats = await ownApi()
    .getStats({ type: 4, reset: false })
    .then(
      (answer) => answer.stats,
      () => undefined, // it listens, and does not tell yet
    );
  if (stats === undefined) return undefined;
  return stats.reduce((sum, { value }) => sum + Number(value), 0);
}

function ownApi() {
  const interceptor = (next: (request: never) => unknown) => (request: { header: Headers }) => {
    request.header.set("x-api-key", node.api.key);
    return next(request as never);
  };
  return createClient(
    NodeService,
    createConnectTransport({ baseUrl: node.api.url, httpVersion: "1.1", interceptors: [interceptor as never] }),
  );
}

test("a node enrols itself, runs what Core says, and what users carry is booked at Core to the byte", async () => {
  await core.addVless(nodeId, port);
  const link = await core.addUser();
  await untilAdmittedTo(link);
  await carry(port, link.id, target, 30_000, 70_000);
  await until("all is booked", async () => (await booked()) === (await countedByEngine()), 10_000);
  expect(await booked()).toBeGreaterThan(100_000);
  await untilSynced();
  const { subscription } = await core.operate(SubscriptionService).getSubscription({ id: link.subscriptionId });
  expect(Number((subscription?.bytesUp ?? 0n) + (subscription?.bytesDown ?? 0n))).toBe(await booked());
  await until("the user is online", async () => {
    const events = await core.database.db.selectFrom("session_event").selectAll().execute();
    return events.length === 1;
  });
  await until("Core knows the engine", async () => (await nodes())[0]?.observed?.engines[0]?.ports[0] === port);
  const { observed } = (await nodes())[0] ?? {};
  expect(observed?.engines[0]).toMatchObject({ kind: EngineKind.XRAY, state: EngineState.RUNNING, restarts: 0 });
  expect(observed?.host?.memoryTotalBytes).toBeGreaterThan(0n);
  expect((await stat(join(node.dataDir, "agent/identity.json"))).mode & 0o077).toBe(0);
  expect(await node.metrics()).toContain('garrison_agent_contact{state="reached",garrison_service="node"} 1');
});

test("its own API shows everything, and changes nothing", async () => {
  await core.addVless(nodeId, port);
  await untilAdmittedTo(await core.addUser());
  const api = ownApi();
  await until("it runs", async () => (await api.getBaseInfo({})).started);
  for (const change of [
    () => api.start({ type: 0, config: "{}" }),
    () => api.stop({}),
    () => api.syncUsers({ users: [] }),
    () => api.removeRoutingRule({ ruleTag: "any" }),
  ])
    await expect(change()).rejects.toThrow(/\[failed_precondition\] Core drives this node/);
  expect((await api.getBaseInfo({})).started).toBe(true);
});

test("users stay connected while the agent restarts and Core is away, and what they carry meanwhile is booked once", async () => {
  await core.addVless(nodeId, port);
  const link = await core.addUser();
  await untilAdmittedTo(link);
  const connected = await untilAdmitted(
    ((socket) => {
      const head = Buffer.alloc(8);
      head.writeUInt32BE(100_000, 0);
      head.writeUInt32BE(8, 4);
      socket.write(head);
      return socket;
    })(openVless({ inboundPort: port, targetPort: target.port }, link.id)),
  );
  // Users are let in a moment before the engine counts as started, and a start that is under way ends with the node.
  await untilSynced();
  const comeBack = await core.goAway();
  await carry(port, link.id, target, 1_000, 2_000);
  await node.stop();
  await carry(port, link.id, target, 3_000, 4_000);
  await node.start({});
  await carry(port, link.id, target, 5_000, 6_000);
  await untilAdmittedTo(link);
  await comeBack();
  await until("all is booked", async () => (await booked()) === (await countedByEngine()), 15_000);
  expect(await booked()).toBeGreaterThan(21_000);
  expect(connected.destroyed).toBe(false);
  connected.destroy();
});

test("a user is refused when the quota is used up, also by the node alone, and let in again when there is more", async () => {
  await core.addVless(nodeId, port);
  const link = await core.addUser({ quotaBytes: 50_000n });
  await untilAdmittedTo(link);
  const comeBack = await core.goAway();
  await carry(port, link.id, target, 30_000, 30_000);
  await untilRefused(link, 3_000);
  await comeBack();
  await until("Core knows of it", async () => (await booked()) > 50_000, 15_000);
  expect(await isAdmitted(link)).toBe(false);
  await core.operate(SubscriptionService).updateSubscription({ id: link.subscriptionId, quotaBytes: 500_000n });
  await untilAdmittedTo(link);
});

test("a user is refused when the subscription ends, also while Core is away", async () => {
  await core.addVless(nodeId, port);
  const link = await core.addUser({ expiresAtMs: Date.now() + 4_000 });
  await untilAdmittedTo(link);
  const comeBack = await core.goAway();
  await untilRefused(link, 8_000);
  await comeBack();
});

test("a config that does not run is reported, and the one before runs on, with its users", async () => {
  const inbound = await core.addVless(nodeId, port);
  const link = await core.addUser();
  await untilAdmittedTo(link);
  const [taken = 0] = await freePorts(1);
  const squatter = createTcpServer().listen(taken, "127.0.0.1");
  await core.addVless(nodeId, taken);
  await until("Core is told", async () => (await nodes())[0]?.syncStatus === SyncStatus.FAILED, 20_000);
  expect(inbound).toBeGreaterThan(0n);
  expect((await nodes())[0]?.lastError).toMatchObject({
    code: expect.stringMatching(/PORT_IN_USE|ENGINE_START_FAILED/),
  });
  expect(await isAdmitted(link)).toBe(true);
  // What operators do to users waits for nothing.
  const another = await core.addUser();
  await untilAdmittedTo(another);
  await carry(port, another.id, target, 1_000, 2_000);
  await until("it is booked", async () => (await booked()) > 3_000, 20_000);
  await core.operate(SubscriptionService).updateSubscription({ id: link.subscriptionId, enabled: false });
  await untilRefused(link, 10_000);
  expect(await isAdmitted(another)).toBe(true);
  squatter.close();
});

test("whoever has another authority is not Core: nothing is sent, the engines serve on, and it is said", async () => {
  await core.addVless(nodeId, port);
  const link = await core.addUser();
  await untilAdmittedTo(link);
  const comeBack = await core.goAway();
  await comeBack({ authority: createAuthority("Core", new Date()) });
  await until("it is noticed", () => node.log().includes("whoever answers is not Core"), 15_000);
  const before = await booked();
  await carry(port, link.id, target, 1_000, 1_000);
  expect(await booked()).toBe(before);
  const again = await core.goAway();
  await again();
  await until("all is booked", async () => (await booked()) === (await countedByEngine()), 90_000);
}, 120_000);

test("an engine that dies is back by itself, what it took along is told as a gap, and the rest is booked", async () => {
  await core.addVless(nodeId, port);
  const link = await core.addUser();
  await untilAdmittedTo(link);
  await carry(port, link.id, target, 10_000, 20_000);
  await until("it is booked", async () => (await booked()) > 30_000, 20_000);
  const before = await booked();
  process.kill(await xrayPid(), "SIGKILL");
  const lastError = async () => (await nodes())[0]?.lastError?.code;
  await until("Core is told", async () => (await lastError()) === "USAGE_GAP", 20_000);
  await untilAdmittedTo(link);
  await carry(port, link.id, target, 1_000, 2_000);
  await until("it is booked", async () => (await booked()) > before + 3_000, 20_000);
  await untilSynced();
});

/** The process of this node's Xray. */
async function xrayPid(): Promise<number> {
  return JSON.parse(await readFile(join(node.dataDir, "run/xray.json"), "utf8")).pid;
}

test("a node takes another key when an operator wants it to, and keeps it", async () => {
  const kept = async () => JSON.parse(await readFile(join(node.dataDir, "agent/identity.json"), "utf8")).authKey;
  // Core knows of the node a moment before the node knows its key.
  await until("it has a key", () => kept().catch(() => false), 20_000);
  const before = await kept();
  await core.operate(Fleet).rotateNodeKey({ id: BigInt(nodeId) });
  await until("it has another key", async () => (await kept()) !== before, 20_000);
  await until("it is used", async () => (await nodes())[0]?.keyRotationPending === false, 20_000);
  await node.stop();
  await node.start({});
  await until("it is used by the next one", () => node.log().split('"Core answers"').length > 2, 20_000);
});

test("a node whose key was revoked is let in again by a code for it, and what it has carried meanwhile is booked", async () => {
  await core.addVless(nodeId, port);
  const link = await core.addUser();
  await untilAdmittedTo(link);
  await untilSynced();
  await core.operate(Fleet).revokeNodeKeys({ id: BigInt(nodeId) });
  await until("it is refused", () => node.log().includes("Core does not accept this node's key"), 10_000);
  // The code that it was enrolled by once is no way back.
  expect(node.log()).toContain("Core does not enrol this server (CODE_INVALID)");
  await carry(port, link.id, target, 1_000, 2_000);
  await node.stop();
  const { code } = await core.operate(Fleet).createEnrolmentCode({ nodeId: BigInt(nodeId) });
  await node.start({ CORE_ENROLMENT_CODE: code });
  await until("all is booked", async () => (await booked()) === (await countedByEngine()), 20_000);
  expect(await booked()).toBeGreaterThan(3_000);
  expect((await nodes()).map(({ id }) => Number(id))).toEqual([nodeId]);
});

test("a code that was used is refused with what to do about it", async () => {
  const code = await core.code();
  const other = await startNode({ CORE_ENROLMENT_CODE: code });
  await until("it is enrolled", () => other.log().includes("this server is a node of Core now"), 10_000);
  await other.close();
  const late = await startNode({ CORE_ENROLMENT_CODE: code });
  await until("it is refused", () => late.log().includes("make another one at Core"), 10_000);
  await late.close();
});
