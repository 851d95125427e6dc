import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Latency } from "../../gen/service/node_pb.ts";
import { mayMakeNamespaces } from "../support/network-namespace.ts";
import { type NetworkProcess, startInNetwork } from "../support/network-process.ts";
import { addresses, interfaces, makeRoutedNetworks, type RoutedNetworks } from "../support/routed-networks.ts";

describe.skipIf(!(await mayMakeNamespaces()))("latency is probed", () => {
  let networks: RoutedNetworks;
  let node: NetworkProcess;
  beforeAll(async () => {
    networks = await makeRoutedNetworks();
    node = startInNetwork(networks.enterRouter, new URL("../support/routing-node.ts", import.meta.url));
  });
  afterAll(async () => {
    await node.kill();
    await networks.close();
  });

  const probe = async (path: string, options: { host?: string; askers?: number; egress?: string } = {}) => {
    const { host = addresses.ipv4.internet, askers = 1, egress } = options;
    const url = `http://${host}:${networks.ports.http}${path}`;
    const results = (await node.call("probe", url, 500, askers, egress)) as [[Latency]]; // as routing-node.ts says
    return { url, results, requests: await networks.internet.call("requests") };
  };

  test("from an address of the egress interface, once for all who ask, and any status will do", async () => {
    const { url, results, requests } = await probe("/", { askers: 3 });
    const now = Date.now() / 1_000;
    for (const result of results)
      expect(result).toEqual([
        expect.objectContaining({ name: interfaces.ipv4, link: url, alive: true, source: "wireguard-probe" }),
      ]);
    expect(results).toHaveLength(3);
    const [[{ delay, lastTryTime, lastSeenTime }]] = results;
    expect(delay).toBeLessThan(500n);
    for (const time of [lastTryTime, lastSeenTime]) expect(Math.abs(now - Number(time))).toBeLessThan(5);
    expect(requests).toEqual([`HEAD / from ${addresses.ipv4.router}`]);
  });

  test("by IPv6 as well", async () => {
    const { results, requests } = await probe("/", { host: `[${addresses.ipv6.internet}]`, egress: interfaces.ipv6 });
    expect(results).toEqual([[expect.objectContaining({ name: interfaces.ipv6, alive: true })]]);
    expect(requests).toEqual([`HEAD / from ${addresses.ipv6.router}`]);
  });

  test("without following redirects", async () => {
    const { results, requests } = await probe("/moved");
    expect(results).toEqual([[expect.objectContaining({ alive: true })]]);
    expect(requests).toEqual([`HEAD /moved from ${addresses.ipv4.router}`]);
  });

  test("and told to be dead after its time, with that as its delay", async () => {
    const { results } = await probe("/silent");
    expect(results).toEqual([[expect.objectContaining({ alive: false, lastSeenTime: 0n })]]);
    const [[{ delay }]] = results;
    expect(delay).toBeGreaterThanOrEqual(490n);
    expect(delay).toBeLessThan(3_000n);
  });

  test("to be dead by an interface that is not there", async () => {
    const { results } = await probe("/", { egress: "nowhere0" });
    expect(results).toEqual([[expect.objectContaining({ name: "nowhere0", alive: false })]]);
  });

  test("not at all without a way out", async () => {
    for (const option of ["-4", "-6"]) await networks.onRouter("ip", option, "route", "delete", "default");
    expect((await probe("/")).results).toEqual([[]]);
  });
});
