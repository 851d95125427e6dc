import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ByteTarget, holdOpen, startByteTarget } from "../support/byte-target.ts";
import type { NodeCaller } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import type { ProxyClient } from "../support/proxy-client.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { type CompatNode, failureOf, startNode } from "./harness.ts";

// Xray counts no user from 127.0.0.1, but from its neighbours, which are this machine too.
const addresses = ["127.0.0.2", "127.0.0.3"];

let node: CompatNode;
let target: ByteTarget;
let client: ProxyClient;
let port: number;
const [vless] = proxyProtocols;
const connected = userOf("42", "vless");
const absent = userOf("4", "vless");
const over: [string, () => NodeCaller][] = [
  ["gRPC", () => node.grpc],
  ["REST", () => node.rest],
];

const configOf = (statsUserOnline: boolean) => {
  const config = JSON.parse(nodeConfig([port], proxyProtocols.slice(0, 1)));
  return JSON.stringify({ ...config, policy: { levels: { 0: { statsUserOnline } } } });
};

beforeAll(async () => {
  [node, target, [port = 0]] = await Promise.all([startNode(), startByteTarget(), freePorts(1)]);
  await node.grpc.start({ config: configOf(true), users: [connected, absent] });
  client = await startXrayClient(
    addresses.map((sendThrough) => ({ ...vless?.outbound(port, connected), sendThrough })),
  );
});
afterAll(() => Promise.all([node.close(), target.close(), client.close()]));

describe.each(over)("who is online, over %s", (_, caller) => {
  it("59. and 60. a connected user is online from the addresses of the connections", async () => {
    const held: (() => void)[] = [];
    for (const proxyPort of client.proxyPorts) held.push(await holdOpen(proxyPort, target));
    held.push(await holdOpen(client.proxyPorts[0] ?? 0, target));
    expect(await caller().online("42")).toMatchObject({ name: "42", value: 2n });
    const { name, ips } = await caller().onlineAddresses("42");
    expect(name).toBe("42");
    expect(Object.keys(ips).sort()).toEqual(addresses);
    for (const seenAt of Object.values(ips)) expect(Math.abs(Number(seenAt) - Date.now() / 1000)).toBeLessThan(10);
    for (const close of held) close();
    // Each side of a proxy waits a second for the other direction to end.
    await expect.poll(async () => (await caller().online("42")).value, { timeout: 10_000 }).toBe(0n);
    expect((await caller().onlineAddresses("42")).ips).toEqual({});
  });

  it.each(["4", "nobody"])("59. and 60. %s, who was never seen, is NotFound", async (email) => {
    for (const call of [caller().online, caller().onlineAddresses]) {
      const { code, status, text } = await failureOf(call(email));
      expect(status ?? code).toBe(status === undefined ? Code.NotFound : 404);
      expect(text.trim()).toBe(`user>>>${email}>>>online not found.`);
    }
  });

  it("nobody in particular is refused", async () => {
    for (const call of [caller().online, caller().onlineAddresses]) {
      const { code, status, text } = await failureOf(call(""));
      expect(status ?? code).toBe(status === undefined ? Code.InvalidArgument : 400);
      expect(text.trim()).toBe("email required");
    }
  });
});

it("59. nobody is known to be online where the config does not count", async () => {
  await node.grpc.start({ config: configOf(false), users: [connected] });
  const close = await holdOpen(client.proxyPorts[0] ?? 0, target);
  expect(await failureOf(node.grpc.online("42"))).toMatchObject({ code: Code.NotFound });
  close();
});

it("without a backend it is said over both protocols", async () => {
  await node.grpc.stop();
  for (const caller of [node.grpc, node.rest]) {
    expect((await failureOf(caller.online("42"))).text.trim()).toBe("backend not initialized");
  }
});

it("the log names nobody", () => {
  expect(node.log()).toContain("user>>>… not found.");
  expect(node.log()).not.toContain("nobody");
});
