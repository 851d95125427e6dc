import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parse, stringify } from "yaml";
import { formats } from "../../../src/core/domain/subscription-links/formats/formats.ts";
import { mihomoPath } from "../../mihomo-path.ts";
import { singBoxPath } from "../../sing-box-path.ts";
import { exchange, type FirstBytes } from "../../support/byte-target.ts";
import { echo } from "../../support/datagram-target.ts";
import { type ProxyClient, startProxyClient } from "../../support/proxy-client.ts";
import { startXrayClient } from "../../support/xray-client.ts";
import { xrayPath } from "../../xray-path.ts";
import type { Program } from "./served-inbounds.ts";
import { type ServedNode, startServedNode } from "./served-node.ts";

// What is written for a program is loaded by the program itself, and leads to an Xray that runs what Core renders from
// the same rows. The documents stay as they are, but for the proxies on this machine: one for every endpoint, on free
// ports, and no `tun`, which would take over the machine's own traffic.

const run = promisify(execFile);
let node: ServedNode;
let directory: string;
beforeAll(async () => {
  [node, directory] = await Promise.all([startServedNode(), mkdtemp(join(tmpdir(), "garrison-formats-"))]);
});
afterAll(() => Promise.all([node.close(), rm(directory, { recursive: true })]));

const namesFor = (program: Program) =>
  node.inbounds.filter(({ unknownTo = [] }) => !unknownTo.includes(program)).map(({ name }) => name);

/** What became of those who used the proxies of a client: why, by name, of each that did not work. */
async function failuresOf(client: ProxyClient, names: readonly string[], firstBytes?: FirstBytes): Promise<string[]> {
  const results: string[] = [];
  for (const [index, port] of client.proxyPorts.entries()) {
    try {
      await exchange(port, node.target, 40_000 + index, 70_000 + index, firstBytes);
    } catch (cause) {
      results.push(`${names[index]}: ${cause}`);
    }
  }
  return results;
}

/** The same for datagrams. */
async function lostDatagrams(client: ProxyClient, names: readonly string[]): Promise<string[]> {
  const { address = "", port } = node.target;
  const results = await Promise.allSettled(client.proxyPorts.map((proxy) => echo(proxy, address, port)));
  return results.flatMap((result, index) =>
    result.status === "rejected" ? [`${names[index]}: ${result.reason}`] : [],
  );
}

async function writtenTo(file: string, text: string): Promise<string> {
  const path = join(directory, file);
  await writeFile(path, text);
  return path;
}

describe("xray", () => {
  const written = () => JSON.parse(formats.xray(node.endpoints).body) as XrayConfig[];
  interface XrayConfig {
    readonly remarks: string;
    readonly inbounds: readonly object[];
    readonly outbounds: readonly object[];
  }

  test("there is a config for every endpoint, and Xray takes it as it is", async () => {
    expect(written().map(({ remarks }) => remarks)).toEqual(namesFor("xray"));
    for (const [index, config] of written().entries()) {
      const file = await writtenTo(`xray-${index}.json`, JSON.stringify(config));
      const { stdout } = await run(await xrayPath(), ["run", "-test", "-config", file]);
      expect(stdout).toContain("Configuration OK");
    }
  });

  test("traffic flows through every endpoint", async () => {
    const configs = written();
    // What they have in common, they show by one; the others lend their way to a single Xray.
    const [first] = configs;
    const client = await startXrayClient(configs.map(({ outbounds }) => outbounds[0] ?? {}));
    const whole = await startProxyClient({
      executable: await xrayPath(),
      args: ["run", "-c", "stdin:"],
      outbounds: first?.inbounds ?? [],
      configOf: (ports) => ({
        ...first,
        inbounds: first?.inbounds.map((inbound, index) => ({ ...inbound, port: ports[index] })),
      }),
    });
    try {
      await exchange(whole.proxyPorts[0] ?? 0, node.target, 10_000, 10_000);
      expect(
        await failuresOf(
          client,
          configs.map(({ remarks }) => remarks),
        ),
      ).toEqual([]);
    } finally {
      await Promise.all([client.close(), whole.close()]);
    }
  });
});

describe("sing-box", () => {
  const written = () => JSON.parse(formats["sing-box"](node.endpoints).body);

  test("sing-box takes the document as it is", async () => {
    const file = await writtenTo("sing-box.json", formats["sing-box"](node.endpoints).body);
    const { stderr } = await run(await singBoxPath(), ["check", "-c", file]);
    expect(stderr).toBe("");
    expect(formats["sing-box"](node.endpoints).leftOut.map(({ name }) => name)).toEqual(
      node.inbounds.filter(({ unknownTo }) => unknownTo?.includes("sing-box")).map(({ name }) => name),
    );
  });

  test("traffic flows through every endpoint, and through what is chosen when nobody chooses", async () => {
    const config = written();
    const ways = ["Proxy", ...namesFor("sing-box")];
    const client = await startProxyClient({
      executable: await singBoxPath(),
      args: ["run", "-c", "stdin"],
      outbounds: ways.map((name) => ({ name })),
      configOf: (ports) => ({
        ...config,
        inbounds: ports.map((port, index) => ({
          ...config.inbounds.find(({ type }: { type: string }) => type === "mixed"),
          tag: `in-${index}`,
          listen_port: port,
        })),
        route: {
          ...config.route,
          rules: [
            ...config.route.rules,
            ...ways.slice(1).map((outbound, index) => ({ inbound: [`in-${index + 1}`], outbound })),
          ],
        },
      }),
    });
    try {
      expect(await failuresOf(client, ways, "behind the reply")).toEqual([]);
      expect(await lostDatagrams(client, ways)).toEqual([]);
    } finally {
      await client.close();
    }
  });
});

describe("mihomo", () => {
  test("Mihomo takes the document as it is", async () => {
    const file = await writtenTo("clash.yaml", formats.clash(node.endpoints).body);
    const { stdout } = await run(await mihomoPath(), ["-t", "-d", directory, "-f", file]);
    expect(stdout).toContain("test is successful");
    expect(stdout).not.toMatch(/level=(warn|error)/);
  });

  test("traffic flows through every endpoint, and through what is chosen when nobody chooses", async () => {
    const config = parse(formats.clash(node.endpoints).body);
    expect(config.proxies.map(({ name }: { name: string }) => name)).toEqual(namesFor("mihomo"));
    const ways = ["Proxy", ...namesFor("mihomo")];
    const client = await startProxyClient({
      executable: await mihomoPath(),
      args: ["-d", directory, "-f", "-"],
      outbounds: ways.map((name) => ({ name })),
      configOf: (ports) => ({
        ...config,
        "mixed-port": 0,
        listeners: ports.map((port, index) => ({
          name: `in-${index}`,
          type: "mixed",
          listen: "127.0.0.1",
          port,
          ...(index > 0 && { proxy: ways[index] }),
        })),
      }),
    });
    try {
      // It listens a moment before it takes anything.
      await vi.waitFor(() => exchange(client.proxyPorts[0] ?? 0, node.target, 10_000, 10_000), 10_000);
      expect(await failuresOf(client, ways)).toEqual([]);
      expect(await lostDatagrams(client, ways)).toEqual([]);
    } finally {
      await client.close();
    }
  });

  test("traffic flows by links, as Mihomo reads them", async () => {
    const ways = namesFor("mihomo").filter((name) => !unreadLinks.includes(name));
    const endpoints = node.endpoints.filter(({ name }) => ways.includes(name));
    const path = await writtenTo("links.txt", formats.links(endpoints).body);
    const client = await startProxyClient({
      executable: await mihomoPath(),
      args: ["-d", directory, "-f", "-"],
      outbounds: ways.map((name) => ({ name })),
      configOf: (ports) => ({
        "log-level": "warning",
        "proxy-providers": { links: { type: "file", path } },
        "proxy-groups": ways.map((name, index) => ({
          name: `group ${index}`,
          type: "select",
          use: ["links"],
          filter: `^${RegExp.escape(name)}$`,
        })),
        listeners: ports.map((port, index) => ({
          name: `in-${index}`,
          type: "mixed",
          listen: "127.0.0.1",
          port,
          proxy: `group ${index}`,
        })),
        rules: ["MATCH,REJECT"],
      }),
    });
    try {
      await vi.waitFor(() => exchange(client.proxyPorts[0] ?? 0, node.target, 10_000, 10_000), 10_000);
      expect(await failuresOf(client, ways)).toEqual([]);
    } finally {
      await client.close();
    }
  });
});

// Mihomo has all of these in its own documents, and misreads them in links: certificates of VMess are not told in any that
// it knows, and one link that looks like HTTP costs it all others.
const unreadLinks = [
  "vless, looking like HTTP",
  "vless, HTTPUpgrade",
  "vmess, WebSocket",
  "vmess, gRPC",
  "trojan, REALITY",
];

test("Clash's document stays what it is when it is read and written", () => {
  const { body } = formats.clash(node.endpoints);
  expect(parse(stringify(parse(body)))).toEqual(parse(body));
});
