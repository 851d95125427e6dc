import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { createNode, type Node } from "../../src/node/node.ts";
import { readNodeSettings } from "../../src/node/settings.ts";
import { createServer, type Server } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { xrayPath } from "../xray-path.ts";

/** A node with a real Xray, in this process, whose directory outlives it. */
export interface NodeAtHand {
  readonly dataDir: string;
  /** Everything that it has logged. */
  log(): string;
  /** What `/metrics` shows. */
  metrics(): Promise<string>;
  /** The address of its own API, and its key. */
  readonly api: { readonly url: string; readonly key: string };
  /** Ends it. Its Xray runs on unless it was told not to. */
  stop(): Promise<void>;
  /** Starts another one in its place. */
  start(env?: NodeJS.ProcessEnv): Promise<void>;
  /** Ends it, and its Xray, and removes everything. */
  close(): Promise<void>;
}

const key = "6f2c1b7e-8f0b-4f4e-9a36-3d5b1c1a9a10";

/** Starts a node that Core is to drive. */
export async function startNode(env: NodeJS.ProcessEnv): Promise<NodeAtHand> {
  const dataDir = await mkdtemp(join(tmpdir(), "garrison-node-"));
  let logged = "";
  const lines = new PassThrough();
  lines.setEncoding("utf8").on("data", (text: string) => {
    logged += text;
  });
  const log = createLog("node", "debug", lines);
  let running: { node: Node; server: Server; registry: ReturnType<typeof createMetrics>["registry"] } | undefined;
  let last = env;
  const start = async (given: NodeJS.ProcessEnv) => {
    last = given;
    const complete = { ...given, XRAY_EXECUTABLE_PATH: await xrayPath(), GARRISON_DATA_DIR: dataDir, API_KEY: key };
    const settings = await readNodeSettings(complete, { isRoot: true, home: dataDir });
    const metrics = createMetrics("node");
    const node = await createNode(settings, {
      ...{ dataDir, version: "0.0.0", env: process.env, restart: () => undefined, registry: metrics.registry, log },
    });
    const { services, gate, describe } = node;
    const server = await createServer({ services, gate, describe, host: "127.0.0.1", port: 0, log, metrics });
    running = { node, server, registry: metrics.registry };
  };
  const stop = async () => {
    await running?.server.close();
    await running?.node.close();
    running = undefined;
  };
  await start(env);
  return {
    dataDir,
    log: () => logged,
    metrics: async () => (await running?.registry.metrics()) ?? "",
    get api() {
      return { url: running?.server.url ?? "", key };
    },
    stop,
    start: (other) => start(other ?? last),
    async close() {
      await stop();
      // Xray is ended by a node that does not leave it behind.
      await start({ ...last, GARRISON_RESUME: "off" });
      await stop();
      await rm(dataDir, { recursive: true });
    },
  };
}
