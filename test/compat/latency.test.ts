import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NodeCaller } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { type CompatNode, failureOf, startNode } from "./harness.ts";

let node: CompatNode;
let probed: Server;
let nowhere: number;
const over: [string, () => NodeCaller][] = [
  ["gRPC", () => node.grpc],
  ["REST", () => node.rest],
];

beforeAll(async () => {
  probed = createServer((_request, response) => response.writeHead(204).end()).listen(0, "127.0.0.1");
  [node, [nowhere = 0]] = await Promise.all([startNode(), freePorts(1), once(probed, "listening")]);
});
afterAll(async () => {
  await node.close();
  probed.closeAllConnections();
  await once(probed.close(), "close");
});

/** A config whose outbounds are measured by asking a server of this machine. */
function configOf(observatory: object): string {
  return JSON.stringify({
    outbounds: [
      { tag: "out-near", protocol: "freedom", settings: { finalRules: [{ action: "allow" }] } },
      { tag: "out-block", protocol: "blackhole" },
      { tag: "out-dead", protocol: "socks", settings: { servers: [{ address: "127.0.0.1", port: nowhere }] } },
      { tag: "unobserved", protocol: "freedom" },
    ],
    ...observatory,
  });
}
const probeURL = () => `http://127.0.0.1:${(probed.address() as AddressInfo).port}/`;
const observatory = () => ({
  observatory: { subjectSelector: ["out-"], probeURL: probeURL(), probeInterval: "100ms", enableConcurrency: true },
});
const burst = () => ({
  burstObservatory: {
    subjectSelector: ["out-"],
    pingConfig: { destination: probeURL(), interval: "1s", sampling: 1, timeout: "1s" },
  },
});
const names = async (caller: NodeCaller) =>
  (await caller.latency().catch(() => ({ latencies: [] }))).latencies.map(({ name }) => name);
const withinASecond = (seconds: bigint) => Math.abs(Number(seconds) - Date.now() / 1000) < 10;

describe("without a backend", () => {
  it("16. gRPC is answered with an empty list", async () => {
    expect((await node.grpc.latency()).latencies).toEqual([]);
  });

  it("16. REST is answered with 500", async () => {
    expect(await failureOf(node.rest.latency())).toEqual({ status: 500, text: "backend not initialized\n" });
  });
});

describe.each(over)("latency over %s", (_, caller) => {
  it("63. is not available without an observatory", async () => {
    await node.grpc.start({ config: configOf({}) });
    const { code, status, text } = await failureOf(caller().latency());
    expect(status ?? code).toBe(status === undefined ? Code.Unknown : 502);
    expect(text.trim()).toBe("xray outbound latency is not available");
  });

  it("63. is what the observatory measured, sorted, without outbounds that lead nowhere", async () => {
    await node.grpc.start({ config: configOf(observatory()) });
    await expect.poll(() => names(caller()), { timeout: 10_000 }).toEqual(["out-dead", "out-near"]);
    const [dead, near] = (await caller().latency()).latencies;
    expect(near).toMatchObject({ name: "out-near", link: "out-near", alive: true, source: "xray-observatory" });
    expect(near?.delay).toBeLessThan(5_000n);
    expect(near && withinASecond(near.lastTryTime)).toBe(true);
    expect(near && withinASecond(near.lastSeenTime)).toBe(true);
    expect(dead).toMatchObject({ alive: false, lastSeenTime: 0n, source: "xray-observatory" });
    expect(dead && withinASecond(dead.lastTryTime)).toBe(true);
  });

  it("63. is that of one outbound for a name, and empty for one that is not measured", async () => {
    await node.grpc.start({ config: configOf(observatory()) });
    await expect.poll(() => names(caller()), { timeout: 10_000 }).toContain("out-near");
    expect((await caller().latency("out-near")).latencies.map(({ name }) => name)).toEqual(["out-near"]);
    for (const name of ["unobserved", "out-block", "out-"]) {
      expect((await caller().latency(name)).latencies, name).toEqual([]);
    }
  });
});

it("is what a burst observatory measured", async () => {
  await node.grpc.start({ config: configOf(burst()) });
  await expect.poll(() => names(node.grpc), { timeout: 10_000 }).toEqual(["out-dead", "out-near"]);
  const [, near] = (await node.grpc.latency()).latencies;
  expect(near).toMatchObject({ alive: true, link: "out-near" });
  expect(near?.delay).toBeLessThan(5_000n);
});
