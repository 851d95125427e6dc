import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import type { WireGuardInbound } from "../../../gen/garrison/core/v1/node_config_pb.ts";
import { readConfig } from "../../../src/core/domain/content/config-message.ts";
import { makeLinkCredential } from "../../../src/core/domain/fleet/link-credentials.ts";
import { completeSettings } from "../../../src/core/domain/fleet/protocols/settings.ts";
import { renderConfig } from "../../../src/core/domain/render/render.ts";
import type { LinkRow, ProtocolRow } from "../../../src/core/domain/render/rows.ts";
import { createEndpointReader } from "../../../src/core/domain/subscription-links/endpoints.ts";
import { formats } from "../../../src/core/domain/subscription-links/formats/formats.ts";
import {
  isWireGuard,
  type WireGuardEndpoint,
  wireGuardConfig,
} from "../../../src/core/domain/subscription-links/formats/wireguard/wireguard-config.ts";
import { mihomoPath } from "../../mihomo-path.ts";
import { singBoxPath } from "../../sing-box-path.ts";
import { type ByteTarget, exchange } from "../../support/byte-target.ts";
import { mayMakeNamespaces } from "../../support/network-namespace.ts";
import { freePorts } from "../../support/ports.ts";
import { startProxyClient } from "../../support/proxy-client.ts";
import { startXrayClient } from "../../support/xray-client.ts";
import { xrayPath } from "../../xray-path.ts";
import { given } from "../fleet/scene.ts";
import { openTunnelEnd, type TunnelEnd } from "./tunnel-end.ts";

/** Connects to a port of an address, or fails. */
const connecting = `require("node:net").connect(process.argv[2], process.argv[1])
  .on("connect", () => process.exit(0)).on("error", () => process.exit(1)).setTimeout(2000, () => process.exit(1));`;

// A real WireGuard runs what Core renders for a node, and real programs what it writes for users.

const run = promisify(execFile);
const noPace = () => undefined;
const targetAddress = "203.0.113.7";

describe.skipIf(!(await mayMakeNamespaces()))("WireGuard", () => {
  let directory: string;
  let served: Served;
  let server: TunnelEnd;
  let target: ByteTarget;
  let targetProcess: ChildProcessByStdio<null, Readable, null>;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "garrison-tunnel-"));
    served = await makeServed();
    const { inbound } = served;
    server = await openTunnelEnd({
      name: `gs${process.pid}`,
      configFile: await writtenTo("server.conf", serverConfig(inbound)),
      addresses: [...inbound.addresses, `${targetAddress}/32`],
      isDefault: false,
    });
    const [enter = "", ...args] = server.enter;
    const script = join(import.meta.dirname, "target-in-tunnel.ts");
    targetProcess = spawn(enter, [...args, process.execPath, script, "::"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [port] = await once(targetProcess.stdout, "data");
    target = { address: targetAddress, port: Number(port), close: async () => undefined };
  });
  afterAll(async () => {
    targetProcess?.kill("SIGTERM");
    await server?.close();
    await rm(directory, { recursive: true });
  });

  const writtenTo = async (file: string, text: string) => {
    const path = join(directory, file);
    await writeFile(path, text);
    return path;
  };
  /** Bytes that the server has had from each user, by public key. */
  const received = async () => {
    const lines = (await server.show("transfer")).trim().split("\n");
    return new Map(lines.map((line) => line.split("\t")).map(([key = "", bytes]) => [key, Number(bytes)]));
  };

  test("a node's interface has the users that are rendered, each with the addresses of their own", async () => {
    const ranges = (await server.show("allowed-ips")).trim().split("\n");
    expect(ranges.map((line) => line.split(/\s/).sort()).sort()).toEqual(
      served.inbound.users.map(({ publicKey, peerIps }) => [publicKey, ...peerIps].sort()).sort(),
    );
    expect(await server.show("public-key")).toBe(`${given(served.users[0]?.endpoints[0]).access.serverKey}\n`);
    expect(new Set((await server.show("preshared-keys")).match(/\S+$/gm)).size).toBe(1);
  });

  test.each(["IPv4", "IPv6"])(
    "a user's file is taken as it is, and leads through the tunnel, to a server by %s",
    async (family) => {
      const { endpoints, link } = given(served.users[0]);
      const endpoint = given(endpoints.find(({ host }) => (host === "::1") === (family === "IPv6")));
      const file = await writtenTo(`${family}.conf`, wireGuardConfig(endpoint));
      const { stdout: stripped } = await run("wg-quick", ["strip", file]);
      expect(stripped).not.toMatch(/Address|DNS|MTU/);
      const configFile = await writtenTo(`${family}-stripped.conf`, stripped);
      const before = await received();
      const { addresses } = endpoint.access;
      const client = await openTunnelEnd({ name: `gc${process.pid}`, configFile, addresses, isDefault: true });
      try {
        const [enter = "", ...args] = client.enter;
        for (const address of [targetAddress, ...served.inbound.addresses.map((own) => own.replace(/\/.*/, ""))]) {
          const reach = [...args, process.execPath, "-e", connecting, address, `${target.port}`];
          await vi.waitFor(() => run(enter, reach), 10_000);
        }
        const after = await received();
        expect(after.get(link.publicKey)).toBeGreaterThan((before.get(link.publicKey) ?? 0) + 3 * 64);
        for (const [key, bytes] of after) if (key !== link.publicKey) expect(bytes).toBe(before.get(key));
      } finally {
        await client.close();
      }
    },
  );

  test("Xray takes its documents, and its traffic flows", async () => {
    const documents: { outbounds: object[] }[] = JSON.parse(formats.xray(given(served.users[1]).endpoints).body);
    for (const [index, document] of documents.entries()) {
      const file = await writtenTo(`xray-${index}.json`, JSON.stringify(document));
      const { stdout } = await run(await xrayPath(), ["run", "-test", "-config", file]);
      expect(stdout).toContain("Configuration OK");
    }
    const client = await startXrayClient(documents.map(({ outbounds }) => outbounds[0] ?? {}));
    try {
      expect(client.proxyPorts).toHaveLength(2);
      // One after the other: they are one user, whom the server answers where the last packet came from.
      for (const port of client.proxyPorts) await vi.waitFor(() => exchange(port, target, 40_000, 70_000), 15_000);
    } finally {
      await client.close();
    }
  });

  test("Mihomo takes its document, and its traffic flows", async () => {
    const { endpoints } = given(served.users[2]);
    const file = await writtenTo("clash.yaml", formats.clash(endpoints).body);
    const testing = ["-t", "-d", directory, "-f", file];
    const { stdout } = await run(await mihomoPath(), testing).catch(({ stdout }) => ({ stdout }));
    expect(stdout).toContain("test is successful");
    expect(stdout).not.toMatch(/level=(warn|error)/);
    const config = parse(formats.clash(endpoints.slice(0, 1)).body);
    const names: string[] = config.proxies.map(({ name }: { name: string }) => name);
    const client = await startProxyClient({
      executable: await mihomoPath(),
      args: ["-d", directory, "-f", "-"],
      outbounds: names.map((name) => ({ name })),
      configOf: (ports) => ({
        ...config,
        "mixed-port": 0,
        listeners: ports.map((port, index) => ({
          ...{ name: `in-${index}`, type: "mixed", listen: "127.0.0.1", port, proxy: names[index] },
        })),
      }),
    });
    try {
      for (const port of client.proxyPorts) await vi.waitFor(() => exchange(port, target, 40_000, 70_000), 15_000);
    } finally {
      await client.close();
    }
  });

  test("sing-box takes its document, and its traffic flows", async ({ skip }) => {
    const { endpoints } = given(served.users[3]);
    const file = await writtenTo("sing-box.json", formats["sing-box"](endpoints).body);
    const { stderr } = await run(await singBoxPath(), ["check", "-c", file]).catch(({ stderr }) => ({ stderr }));
    // It has read the document by then, in which it suffers nothing that it does not know.
    if (/WireGuard is not included in this build/.test(stderr)) skip("its build has no WireGuard");
    expect(stderr).toBe("");
    const config = JSON.parse(formats["sing-box"](endpoints.slice(0, 1)).body);
    const tags: string[] = config.endpoints.map(({ tag }: { tag: string }) => tag);
    const client = await startProxyClient({
      executable: await singBoxPath(),
      args: ["run", "-c", "stdin"],
      outbounds: config.endpoints,
      configOf: (ports) => ({
        ...config,
        inbounds: ports.map((port, index) => ({
          ...{ type: "mixed", tag: `in-${index}`, listen: "127.0.0.1", listen_port: port },
        })),
        // Over the interface that leads to the internet nobody reaches this machine itself.
        route: {
          ...{ ...config.route, auto_detect_interface: false },
          rules: tags.map((outbound, index) => ({ inbound: [`in-${index}`], outbound })),
        },
      }),
    });
    try {
      for (const port of client.proxyPorts) {
        await vi.waitFor(() => exchange(port, target, 40_000, 70_000, "behind the reply"), 15_000);
      }
    } finally {
      await client.close();
    }
  });
});

/** What Core renders for a node, and what it tells its users. */
interface Served {
  readonly inbound: WireGuardInbound;
  readonly users: readonly { readonly link: LinkRow; readonly endpoints: readonly WireGuardEndpoint[] }[];
}

/**
 * Four users of an interface, which they reach by IPv4 and by IPv6. Each program is a user of its own, who comes by one
 * way at a time: of a key that begins twice at once WireGuard takes only one.
 */
async function makeServed(): Promise<Served> {
  const [port = 0] = await freePorts(1);
  const settings = completeSettings("wireguard", { preSharedKey: true, mtu: 1_400 }, randomBytes);
  const links = [1, 2, 3, 4].map(
    (id): LinkRow => ({
      ...makeLinkCredential("wireguard", randomBytes),
      protocol: "wireguard",
      subscriptionId: id,
      userId: id,
      access: undefined,
      expiresAt: null,
      quotaBytes: null,
      deviceLimit: null,
      failOpen: false,
      createdAt: 0,
    }),
  );
  const numbers = new Map(links.map(({ subscriptionId }) => [subscriptionId, 65_530 + subscriptionId]));
  const row: ProtocolRow = {
    ...{ id: 1, protocol: "wireguard", tag: "wg0", listen: "", port, enabled: true, numbers },
    settings: JSON.stringify(settings),
  };
  const none = { disabled: false, drainingSince: null, outbounds: [], routing: "{}", extra: "{}" };
  const rows = { nodeId: 1, protocolVersion: 2, protocols: [row], ...none };
  const { services } = await readConfig((await renderConfig(rows, links, noPace)).content, noPace);
  const node = { id: 1, name: "here", host: "127.0.0.1", disabled: false, drainingSince: null };
  const reader = createEndpointReader();
  const endpointsFor = (link: LinkRow) =>
    reader.endpointsOf({
      ...{ title: "", state: "active", createdAt: 0, bytesUp: 0n, bytesDown: 0n, periodBytes: 0n },
      ...{ quotaBytes: null, expiresAt: null, links: [{ ...link, enabled: true }] },
      protocols: ["127.0.0.1", "::1"].map((host, index) => ({
        ...{ ...row, id: index + 1, remark: host, node },
        linkSettings: JSON.stringify({ host }),
      })),
      tunnelNumbers: new Map([1, 2].map((id) => [id, numbers.get(link.subscriptionId) ?? 0])),
    });
  return {
    inbound: given(services?.wireguard?.inbounds[0]),
    users: links.map((link) => ({ link, endpoints: endpointsFor(link).filter(isWireGuard) })),
  };
}

/** As an agent would set an interface up. */
function serverConfig({ privateKey, port, preSharedKey, users }: WireGuardInbound): string {
  const peers = users.map(
    ({ publicKey, peerIps }) =>
      `[Peer]\nPublicKey = ${publicKey}\nPresharedKey = ${preSharedKey}\nAllowedIPs = ${peerIps.join(", ")}\n`,
  );
  return `[Interface]\nPrivateKey = ${privateKey}\nListenPort = ${port}\n${peers.join("")}`;
}
