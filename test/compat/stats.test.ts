import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { StatRequestSchema, StatType, type User } from "../../gen/service/node_pb.ts";
import { createHysteria, userOfAll } from "../engines/more-protocols.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { engineOf } from "../support/child-processes.ts";
import type { NodeCaller } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { admitted, type Carried } from "../support/users-online.ts";
import { type CompatNode, failureOf, startNode } from "./harness.ts";

let node: CompatNode;
let target: ByteTarget;
let ports: number[];
const four = userOf("4", "vless");
const fortyTwo = userOf("42", "vless");
const over: [string, () => NodeCaller][] = [
  ["gRPC", () => node.grpc],
  ["REST", () => node.rest],
];

beforeAll(async () => {
  [node, target, ports] = await Promise.all([startNode(), startByteTarget(), freePorts(4)]);
  await node.grpc.start({ config: nodeConfig(ports), users: [four, fortyTwo] });
});
afterAll(() => Promise.all([node.close(), target.close()]));

async function carry(user: User, bytes: Carried): Promise<void> {
  const protocol = proxyProtocols[0];
  if (protocol === undefined) throw new Error("no protocol");
  expect(await admitted([{ protocol, port: ports[0] ?? 0, user }], target, bytes)).toEqual([true]);
}

type Request = Parameters<NodeCaller["stats"]>[0];
const shown = async (request: Request, caller = node.grpc) =>
  (await caller.stats(request)).stats
    .map(({ name, type, link, value }) => [name, type, link, Number(value)])
    .sort((left, right) => String(left).localeCompare(String(right)));
const drain = () => node.grpc.stats({ type: StatType.UsersStat, reset: true });

describe.each(over)("GetStats over %s", (_, caller) => {
  it("53. UsersStat with reset tells what users carried, once", async () => {
    await drain();
    await carry(fortyTwo, { up: 20_000, down: 30_000 });
    const all = { type: StatType.UsersStat, reset: true };
    expect(await shown(all, caller())).toEqual([
      ["42", "downlink", "traffic", 30_000],
      ["42", "uplink", "traffic", 20_000],
    ]);
    expect(await shown(all, caller())).toEqual([]);
  });

  it("54. without reset it never shrinks", async () => {
    await drain();
    for (const up of [1_000, 3_000]) {
      await carry(fortyTwo, { up: up - (up === 3_000 ? 1_000 : 0), down: 500 });
      const [, uplink] = await shown({ type: StatType.UsersStat }, caller());
      expect(uplink).toEqual(["42", "uplink", "traffic", up]);
      expect(await shown({ type: StatType.UsersStat }, caller())).toContainEqual(uplink);
    }
  });

  it("55. one user is asked for by the whole e-mail", async () => {
    await drain();
    await carry(fortyTwo, { up: 1_000, down: 1_000 });
    expect(await shown({ type: StatType.UserStat, name: "4" }, caller())).toEqual([]);
    expect(await shown({ type: StatType.UserStat, name: "42" }, caller())).toEqual([
      ["42", "downlink", "traffic", 1_000],
      ["42", "uplink", "traffic", 1_000],
    ]);
    expect((await failureOf(caller().stats({ type: StatType.UserStat }))).text.trim()).toBe("email required");
  });

  it("55. an unknown name is NotFound, as the document says (the original answers an empty list)", async () => {
    for (const type of [StatType.UserStat, StatType.Outbound, StatType.Inbound]) {
      const { code, status } = await failureOf(caller().stats({ type, name: "nobody" }));
      expect(status ?? code).toBe(status === undefined ? Code.NotFound : 404);
    }
  });

  it("56. and 57. outbounds and inbounds count what went through them", async () => {
    await caller().stats({ type: StatType.Outbounds, reset: true });
    await caller().stats({ type: StatType.Inbounds, reset: true });
    await carry(fortyTwo, { up: 5_000, down: 6_000 });
    const direct = [
      ["direct", "downlink", "traffic", 6_000],
      ["direct", "uplink", "traffic", 5_000],
    ];
    expect(await shown({ type: StatType.Outbounds }, caller())).toEqual(expect.arrayContaining(direct));
    expect(await shown({ type: StatType.Outbound, name: "direct" }, caller())).toEqual(direct);
    const [, uplink] = await shown({ type: StatType.Inbound, name: "vless" }, caller());
    expect(Number(uplink?.[3])).toBeGreaterThanOrEqual(5_000);
    expect((await shown({ type: StatType.Inbounds }, caller())).map(([name]) => name)).toContain("vless");
    for (const type of [StatType.Outbound, StatType.Inbound]) {
      expect((await failureOf(caller().stats({ type }))).text.trim()).toBe("tag required");
    }
  });

  it("58. an unknown type is refused", async () => {
    const { code, status, text } = await failureOf(caller().stats({ type: 9 as StatType }));
    expect(text.trim()).toBe("not implemented stat type");
    expect(status ?? code).toBe(status === undefined ? Code.InvalidArgument : 400);
    expect(await node.grpc.info()).toMatchObject({ started: true });
  });

  it("61. the uptime of the engine grows", async () => {
    const { uptime } = await caller().backendStats();
    await sleep(1_100);
    expect((await caller().backendStats()).uptime).toBeGreaterThan(uptime);
  });

  it("61. an engine that does not answer is told in the words for which a panel spares it", async () => {
    const engine = await engineOf(node.pid);
    process.kill(engine, "SIGSTOP");
    try {
      await expect.poll(() => readFile(`/proc/${engine}/stat`, "utf8")).toMatch(/\) T /);
      const { code, status, text } = await failureOf(caller().backendStats());
      expect(text).toMatch(/^failed to get sys stats: ./);
      expect(status ?? code).toBe(status === undefined ? Code.Unavailable : 503);
    } finally {
      process.kill(engine, "SIGCONT");
    }
    await expect
      .poll(() =>
        caller()
          .backendStats()
          .then(() => "answered", String),
      )
      .toBe("answered");
  }, 30_000);

  it("62. the measures of the server are there within 3 s of Start", async () => {
    await expect.poll(async () => (await caller().systemStats()).memTotal > 0n, { timeout: 3_000 }).toBe(true);
    const stats = await caller().systemStats();
    expect(stats.cpuCores).toBeGreaterThanOrEqual(1n);
    expect(stats.memUsed).toBeGreaterThan(0n);
    expect(stats.memUsed).toBeLessThan(stats.memTotal);
    expect(stats.cpuUsage).toBeGreaterThanOrEqual(0);
    expect(stats.cpuUsage).toBeLessThanOrEqual(100);
    const { uptime } = await caller().backendStats();
    expect(Math.abs(Number(stats.uptime) - uptime)).toBeLessThanOrEqual(1);
  });
});

describe("GetStats", () => {
  it("57. inbounds are empty unless the config counts them", async () => {
    const quiet = await startNode();
    const config = JSON.parse(nodeConfig(await freePorts(4)));
    delete config.policy;
    await quiet.grpc.start({ config: JSON.stringify(config) });
    expect((await quiet.grpc.stats({ type: StatType.Inbounds })).stats).toEqual([]);
    expect((await quiet.grpc.stats({ type: StatType.Inbound, name: "vless" })).stats).toEqual([]);
    await quiet.close();
  });

  it("64. traffic is counted across restarts of the engine", async () => {
    await drain();
    await carry(fortyTwo, { up: 1_000, down: 10 });
    const [elsewhere = 0] = await freePorts(1);
    const moved = JSON.parse(nodeConfig([...ports.slice(0, 3), elsewhere]));
    // Xray reads this part only when it starts.
    const restarted = JSON.stringify({ ...moved, dns: { servers: ["localhost"] } });
    await node.grpc.start({ config: restarted, users: [fortyTwo] });
    await carry(fortyTwo, { up: 2_000, down: 20 });
    await node.grpc.stop();
    await node.grpc.start({ config: nodeConfig(ports), users: [four, fortyTwo] });
    await carry(fortyTwo, { up: 4_000, down: 40 });
    const carried = [
      ["42", "downlink", "traffic", 70],
      ["42", "uplink", "traffic", 7_000],
    ];
    expect(await shown({ type: StatType.UsersStat }, node.rest)).toEqual(carried);
    expect(await shown({ type: StatType.UsersStat, reset: true })).toEqual(carried);
  });

  it("a removed user is known until the last bytes were read", async () => {
    const leaver = userOf("leaver", "vless");
    await node.grpc.syncUser(leaver);
    await carry(leaver, { up: 1_000, down: 1_000 });
    await node.grpc.syncUser({ ...leaver, inbounds: [] });
    const one = { type: StatType.UserStat, name: "leaver", reset: true };
    expect(await shown(one)).toHaveLength(2);
    expect(await failureOf(node.grpc.stats(one))).toMatchObject({ code: Code.NotFound });
  });

  it("65. /stats and /stats/ take a GET with a body", async () => {
    const body = toBinary(StatRequestSchema, create(StatRequestSchema, { type: StatType.Outbounds }));
    for (const path of ["/stats", "/stats/"]) {
      const answer = await node.request("GET", path, undefined, body);
      expect(answer.status).toBe(200);
      expect(answer.headers["content-type"]).toBe("application/x-protobuf");
      expect(answer.body.length).toBeGreaterThan(0);
    }
  });

  it("a body that is no StatRequest is 400", async () => {
    const answer = await node.request("GET", "/stats", undefined, Buffer.from("not a request"));
    expect(answer.status).toBe(400);
  });
});

it("users of Hysteria are counted, though the config counts inbounds, and the log says which of the two counts", async () => {
  const hysteria = await createHysteria();
  const [port = 0] = await freePorts(1);
  const config = JSON.parse(nodeConfig([port], [hysteria]));
  config.policy = { system: { statsInboundUplink: true, statsInboundDownlink: true } };
  const other = await startNode();
  try {
    const user = userOfAll("alice", "hysteria");
    await other.grpc.start({ config: JSON.stringify(config), users: [user] });
    expect(await admitted([{ protocol: hysteria, port, user }], target, { up: 10_000, down: 20_000 })).toEqual([true]);
    await expect
      .poll(() => shown({ type: StatType.UsersStat }, other.grpc), { timeout: 5_000 })
      .toEqual([
        ["alice", "downlink", "traffic", 20_000],
        ["alice", "uplink", "traffic", 10_000],
      ]);
    expect(other.log()).toContain("the traffic of inbounds is not counted");
  } finally {
    await other.close();
  }
});
