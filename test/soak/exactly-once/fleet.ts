import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { NodeProtocolService } from "../../../gen/garrison/core/v1/node_protocols_pb.ts";
import { NodeService, SyncStatus } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { VpnProtocol } from "../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { openCoreDatabase } from "../../../src/core/store/open.ts";
import type { CoreSchema } from "../../../src/core/store/schema.ts";
import type { Database } from "../../../src/platform/storage/database.ts";
import { createLog } from "../../../src/platform/telemetry/log.ts";
import { type Call, openPlace } from "../../cli/garrison.ts";
import { startPostgres } from "../../postgres.ts";
import { type FaultProxy, startFaultProxy } from "../../support/fault-proxy.ts";
import { freePorts } from "../../support/ports.ts";
import { xrayPath } from "../../xray-path.ts";

/** A process of the fleet that is killed and started again. */
interface Restartable {
  /** It runs, and has said that it is ready. */
  readonly isReady: boolean;
  /** Starts it, unless it runs; resolves when it is ready, or has ended before that. */
  start(): Promise<void>;
  /** Ends it; resolves when it is gone. */
  end(signal: "SIGKILL" | "SIGTERM"): Promise<void>;
}

/** Core and a node of it, as processes of their own, with a bad network between them. */
export interface Fleet {
  readonly core: Restartable;
  readonly node: Restartable;
  readonly network: FaultProxy;
  readonly nodeId: number;
  /** The port of the one inbound, of VLESS over plain TCP. */
  readonly port: number;
  /** Where the API of the node's Xray is. */
  readonly xraySocket: string;
  /** The Xray that the node says it has started. */
  xray(): Promise<{ readonly pid: number; readonly isRunning: boolean } | undefined>;
  /** Calls Core as an operator, past the network. */
  operate<S extends DescService>(service: S): Client<S>;
  /** Core's own data. */
  readonly database: Database<CoreSchema>;
  /** What Core and the node have logged. */
  log(): string;
  /** When the node has said that its Xray runs no longer: that it ends it, or has seen it end. Unix milliseconds. */
  xrayEnds(): number[];
  close(): Promise<void>;
}

/** How a fleet is made. */
export interface FleetOptions {
  readonly engine: "sqlite" | "postgres";
  /** Xray outlives the node. */
  readonly resume: boolean;
}

/** How often the node calls, in milliseconds. */
const paces = { heartbeat: 400, enginePoll: 250, usage: 300, sessions: 500 };

/** Starts one; it runs, and its inbound listens. */
export async function startFleet({ engine, resume }: FleetOptions): Promise<Fleet> {
  const place = await openPlace();
  const postgres = engine === "postgres" ? await startPostgres() : undefined;
  const url = await postgres?.createDatabase();
  const [corePort = 0, port = 0] = await freePorts(2);
  const coreUrl = `http://127.0.0.1:${corePort}`;
  const network = await startFaultProxy(coreUrl);
  const calls: Call[] = [];
  const command = (name: "core" | "node", env: NodeJS.ProcessEnv) => {
    let running: Call | undefined;
    let isReady = false;
    const restartable: Restartable = {
      get isReady() {
        return isReady && running !== undefined;
      },
      async start() {
        if (running !== undefined) return;
        const call = place.call([name], {
          ...env,
          GARRISON_TLS: "off",
          GARRISON_CACHE_DIR: process.env.TMPDIR ?? "/tmp",
        });
        running = call;
        calls.push(call);
        void call.ended.then(() => {
          if (running === call) running = undefined;
        });
        isReady = false;
        await call.ready().then(
          () => {
            isReady = running === call;
          },
          () => undefined, // it was killed before
        );
      },
      async end(signal) {
        const call = running;
        if (call === undefined) return;
        call.signal(signal);
        await call.ended;
      },
    };
    return restartable;
  };
  const core = command("core", {
    ...{ CORE_PORT: `${corePort}`, CORE_PUBLIC_URLS: network.url, DATABASE_URL: url },
    ...{ CORE_HEARTBEAT_MS: `${paces.heartbeat}`, CORE_ENGINE_POLL_MS: `${paces.enginePoll}` },
    ...{ CORE_USAGE_MS: `${paces.usage}`, CORE_SESSIONS_MS: `${paces.sessions}` },
  });
  await core.start();
  const key = (await readFile(join(place.dataDir, "core/admin-key"), "utf8")).trim();
  const database = await openCoreDatabase({
    url,
    dataDir: join(place.dataDir, "core"),
    log: createLog("core", "silent"),
  });
  const transport = createConnectTransport({
    baseUrl: coreUrl,
    httpVersion: "1.1",
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${key}`);
        return next(request);
      },
    ],
  });
  const operate: Fleet["operate"] = (service) => createClient(service, transport);
  const { code } = await operate(NodeService).createEnrolmentCode({});
  const node = command("node", {
    ...{ CORE_ENROLMENT_CODE: code, XRAY_EXECUTABLE_PATH: await xrayPath(), GARRISON_LOG_LEVEL: "debug" },
    ...{ GARRISON_RESUME: resume ? "on" : "off" },
  });
  await node.start();
  const log = () => calls.map((call) => call.stderr()).join("\n");
  const nodeId = await untilSo(
    "the node is enrolled",
    async () => (await operate(NodeService).listNodes({})).nodes[0]?.id,
  ).catch((error: unknown) => {
    throw new Error(log(), { cause: error });
  });
  const protocol = { nodeId, protocol: VpnProtocol.VLESS, listen: "127.0.0.1", port };
  await operate(NodeProtocolService).createNodeProtocol(protocol);
  const runDir = join(place.dataDir, "node/run");
  const xray = async () => {
    const record = await readFile(join(runDir, "xray.json"), "utf8").catch(() => "{}");
    const { pid, version } = JSON.parse(record || "{}") as { pid?: number; version?: string };
    return pid === undefined ? undefined : { pid, isRunning: Boolean(version) };
  };
  await untilSo("the node runs what Core says", async () => {
    const [first] = (await operate(NodeService).listNodes({})).nodes;
    return first?.syncStatus === SyncStatus.SYNCED || undefined;
  });
  return {
    ...{ core, node, network, nodeId: Number(nodeId), port, xray, operate, database, log },
    xraySocket: join(runDir, "xray-api.sock"),
    xrayEnds: () =>
      Array.from(log().matchAll(/^\{"level":"info","time":(\d+),"service":"node","engine":"xray","state":"(\w+)"/gm))
        .filter(([, , state]) => state === "restarting" || state === "stopped")
        .map(([, at]) => Number(at)),
    async close() {
      const left = await xray();
      await Promise.all([core.end("SIGKILL"), node.end("SIGKILL")]);
      if (left !== undefined) endIfThere(left.pid);
      await network.close();
      await database.close();
      await postgres?.stop();
      await place.close();
    },
  };
}

/** Kills a process, which may be gone already. */
export function endIfThere(pid: number): boolean {
  try {
    process.kill(pid, "SIGKILL");
    return true;
  } catch {
    return false;
  }
}

/** Waits until something is so. */
export async function untilSo<T>(what: string, find: () => Promise<T | undefined>, ms = 60_000): Promise<T> {
  const deadline = performance.now() + ms;
  for (;;) {
    const found = await find().catch(() => undefined);
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(50);
  }
}
