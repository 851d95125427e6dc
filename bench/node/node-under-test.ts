import { readFile } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { type User, UserSchema } from "../../gen/service/node_pb.ts";
import { createNodeClient } from "../../src/client/node-client.ts";
import { startRealNode } from "../../test/callers/real-node.ts";
import { freePorts } from "../../test/support/ports.ts";

/** A node with a real Xray, as a process of its own. */
export interface NodeUnderTest {
  readonly url: string;
  readonly key: string;
  readonly pid: number;
  readonly client: ReturnType<typeof createNodeClient>;
  /** A client whose calls take another way to the node. */
  clientAt(url: string): ReturnType<typeof createNodeClient>;
  /** Its metrics, by name with labels. */
  metrics(): Promise<ReadonlyMap<string, number>>;
  /** Its resident memory, and the most that it has had. */
  memory(): Promise<{ residentMib: number; peakMib: number }>;
  close(): Promise<void>;
}

/** Starts a node that serves plain text, so that what is measured is not TLS. */
export async function startNodeUnderTest(variables: Record<string, string> = {}): Promise<NodeUnderTest> {
  const node = await startRealNode({ GARRISON_TLS: "off", ...variables });
  const clientAt = (baseUrl: string) =>
    createNodeClient({ transport: createGrpcTransport({ baseUrl, readMaxBytes: 64 << 20 }), key: node.key });
  return {
    url: node.url,
    key: node.key,
    pid: node.pid,
    client: clientAt(node.url),
    clientAt,
    async metrics() {
      const answer = await fetch(`${node.url}/metrics`, { headers: { "x-api-key": node.key } });
      const lines = (await answer.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
      return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.split(" ").at(-1))]));
    },
    async memory() {
      const status = await readFile(`/proc/${node.pid}/status`, "utf8");
      const mib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
      return { residentMib: mib("VmRSS"), peakMib: mib("VmHWM") };
    },
    close: () => node.close(),
  };
}

/** Users of VLESS with ids that follow from their numbers. */
export function users(count: number, tags: readonly string[], from = 0): User[] {
  return Array.from({ length: count }, (_, index) => {
    const number = from + index;
    const proxies = {
      vless: { id: idOf(number) },
      vmess: {},
      trojan: {},
      shadowsocks: {},
      wireguard: {},
      hysteria: {},
    };
    return create(UserSchema, { email: `${number}.user`, inbounds: [...tags], proxies });
  });
}

/** The credential of a user of {@link users}. */
export function idOf(number: number): string {
  return `${number.toString(16).padStart(8, "0")}-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;
}

/** A config with so many inbounds of VLESS, tagged `in0`, `in1`, …, on ports that are free. */
export async function configOf(inbounds: number): Promise<{ config: string; ports: number[]; tags: string[] }> {
  const ports = await freePorts(inbounds);
  const tags = ports.map((_, index) => `in${index}`);
  const config = JSON.stringify({
    log: { loglevel: "warning", access: "none" },
    inbounds: ports.map((port, index) => ({
      tag: tags[index],
      listen: "127.0.0.1",
      port,
      protocol: "vless",
      settings: { decryption: "none" },
    })),
    outbounds: [{ tag: "direct", protocol: "freedom", settings: { finalRules: [{ action: "allow" }] } }],
  });
  return { config, ports, tags };
}
