import { clone } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type User, UserSchema } from "../../gen/service/node_pb.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { engineOf } from "../support/child-processes.ts";
import { grpcClient, type NodeCaller } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { admitted } from "../support/users-online.ts";
import { type CompatNode, startNode } from "./harness.ts";

// Each of these users keeps the original's engine from starting, or is lost there without a word.

let node: CompatNode;
let target: ByteTarget;
let ports: number[];
const tags = proxyProtocols.map(({ name }) => name);
const over: [string, () => NodeCaller][] = [
  ["gRPC", () => node.grpc],
  ["REST", () => node.rest],
];
const unusable: [why: string, inbound: string, proxies: object][] = [
  ["vless id is not a UUID", "vless", { vless: { id: "no uuid" } }],
  ["vless flow is unknown", "vless", { vless: { id: crypto.randomUUID(), flow: "xtls-rprx-nothing" } }],
  ["vmess id is not a UUID", "vmess", { vmess: { id: "0000" } }],
  ["no trojan password", "trojan", { trojan: { password: "" } }],
  ["no shadowsocks password", "shadowsocks", { shadowsocks: { password: "", method: "aes-128-gcm" } }],
  ["shadowsocks cipher is unknown", "shadowsocks", { shadowsocks: { password: "a", method: "rot13" } }],
];
const bad = unusable.map(([, inbound, proxies], index) => ({ email: `bad-${index}`, inbounds: [inbound], proxies }));
const resident = userOf("resident", ...tags);

beforeAll(async () => {
  [node, target, ports] = await Promise.all([startNode(), startByteTarget(), freePorts(4)]);
});
beforeEach(() => node.grpc.stop().catch(() => undefined)); // the first test has no backend
afterAll(() => Promise.all([node.close(), target.close()]));

async function through(user: User): Promise<string[]> {
  const entrances = proxyProtocols.map((protocol, index) => ({ protocol, port: ports[index] ?? 0, user }));
  const admissions = await admitted(entrances, target);
  return tags.filter((_, index) => admissions[index]);
}

/** How many users were counted as skipped, by why. */
async function skipped(): Promise<Record<string, number>> {
  const { body } = await node.request("GET", "/metrics");
  const counts = body.toString().matchAll(/^garrison_users_skipped_total\{.*reason="([^"]+)".*\} (\d+)$/gm);
  return Object.fromEntries([...counts].map(([, reason, count]) => [reason, Number(count)]));
}

describe.each(over)("users who cannot be used, over %s", (_, caller) => {
  it("do not keep a Start from serving the others; they are counted, listed and logged without a name", async () => {
    const before = await skipped();
    await caller().start({ config: nodeConfig(ports), users: [...bad, resident] });
    expect(await through(resident)).toEqual(tags);
    const after = await skipped();
    for (const [why] of unusable) expect((after[why] ?? 0) - (before[why] ?? 0), why).toBe(1);
    const listed: string[] = [];
    for await (const { detail } of grpcClient(node).getLogs({})) {
      if (/is left out of/.test(detail)) listed.push(detail);
      if (listed.length >= bad.length) break;
    }
    expect(listed).toEqual(
      unusable.map(([why, inbound], index) => `[garrison] user bad-${index} is left out of ${inbound}: ${why}`),
    );
    expect(node.log()).toContain("no shadowsocks password");
    expect(node.log()).not.toContain("bad-");
  });

  it("cost nobody the service when they come later, by whatever call", async () => {
    await caller().start({ config: nodeConfig(ports), users: [resident] });
    const engine = await engineOf(node.pid);
    const next = userOf("next", ...tags);
    await caller().syncChunked({ last: true, users: [...bad, next] });
    for (const user of bad) await caller().syncUser(user);
    expect(await through(next)).toEqual(tags);
    await caller().syncUsers({ users: [...bad, resident] });
    expect([await through(resident), await through(next)]).toEqual([tags, []]);
    expect(await engineOf(node.pid)).toBe(engine);
  });

  it("lose what they had where they became unusable, and nothing else", async () => {
    await caller().start({ config: nodeConfig(ports), users: [resident] });
    const broken = clone(UserSchema, resident);
    if (broken.proxies?.trojan) broken.proxies.trojan.password = "";
    await caller().syncChunked({ last: true, users: [broken] });
    expect(await through(resident)).toEqual(tags.filter((tag) => tag !== "trojan"));
  });
});
