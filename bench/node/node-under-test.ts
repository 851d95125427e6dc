import { readFile } from "node:fs/promises";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { createNodeClient } from "../../src/client/node-client.ts";
import { startRealNode } from "../../test/callers/real-node.ts";
import type { NetworkNamespace } from "../../test/support/network-namespace.ts";
import { freePorts } from "../../test/support/ports.ts";

/** A node with a real Xray, as a process of its own. */
export interface NodeUnderTest {
  readonly url: string;
  readonly key: string;
  readonly pid: number;
  readonly client: ReturnType<typeof createNodeClient>;
  /** A client whose calls take another way to the node. */
  clientAt(url: string): ReturnType<typeof createNodeClient>;
  measures(): Promise<NodeMeasures>;
  /** Its resident memory, and the most that it has had. */
  memory(): Promise<{ residentMib: number; peakMib: number }>;
  close(): Promise<void>;
}

/** What a node says of itself. */
export interface NodeMeasures {
  /** How often it has called its engine's API to change users. */
  readonly engineChanges: number;
  /** Milliseconds of processor time that it has taken. */
  readonly processorMs: number;
  /** The longest that its event loop stood still since it was asked last. */
  readonly longestStallMs: number;
}

/** Starts a node that serves plain text, so that what is measured is not TLS; in a network of its own if there is one. */
export async function startNodeUnderTest(
  variables: Record<string, string> = {},
  network?: NetworkNamespace,
): Promise<NodeUnderTest> {
  const host = network?.inside[0]?.v4;
  const inThere = host !== undefined && { NODE_HOST: host, GARRISON_INSECURE: "1" };
  const node = await startRealNode({ GARRISON_TLS: "off", ...inThere, ...variables }, network?.enter);
  const clientAt = (baseUrl: string) =>
    createNodeClient({ transport: createGrpcTransport({ baseUrl, readMaxBytes: 64 << 20 }), key: node.key });
  return {
    url: node.url,
    key: node.key,
    pid: node.pid,
    client: clientAt(node.url),
    clientAt,
    async measures() {
      const answer = await fetch(`${node.url}/metrics`, { headers: { "x-api-key": node.key } });
      const text = await answer.text();
      const measureOf = (metric: string) => Number(new RegExp(`^${metric}.* (.*)$`, "m").exec(text)?.[1] ?? 0);
      return {
        engineChanges: measureOf('garrison_engine_calls_total{method="AlterInbound"'),
        processorMs: measureOf("process_cpu_seconds_total") * 1_000,
        longestStallMs: measureOf("nodejs_eventloop_lag_max_seconds") * 1_000,
      };
    },
    async memory() {
      const status = await readFile(`/proc/${node.pid}/status`, "utf8");
      const mib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) / 1024;
      return { residentMib: mib("VmRSS"), peakMib: mib("VmHWM") };
    },
    close: () => node.close(),
  };
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
