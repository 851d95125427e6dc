import { constants, existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Registry } from "prom-client";
import { BackendType } from "../../gen/service/node_pb.ts";
import { removeJournal } from "../platform/files/journal.ts";
import { isFile } from "../platform/is-file.ts";
import type { ApiDescription } from "../platform/rest/openapi/openapi.ts";
import type { Gate } from "../platform/rpc/gate.ts";
import type { ServedService } from "../platform/rpc/served-service.ts";
import type { Logger } from "../platform/telemetry/log.ts";
import type { Agent, AgentOptions } from "./agent/agent.ts";
import { loadApiKey } from "./api/api-key.ts";
import { createConnectionService } from "./api/connection-service.ts";
import { describeNode } from "./api/description.ts";
import { createNodeGate } from "./api/gate.ts";
import { createNodeService } from "./api/node-service.ts";
import { createCutCounter } from "./cut-counter.ts";
import { createDebug } from "./debug.ts";
import { createEngineCallCounter } from "./engine-call-counter.ts";
import type { UpdatableEngine } from "./engines/engine.ts";
import { type ConnectionCutter, createConnectionCutter } from "./engines/sockets/connection-cutter.ts";
import { createXrayEngine } from "./engines/xray/xray-engine.ts";
import { programToUse } from "./maintenance/kept-core.ts";
import type { Maintenance } from "./maintenance/maintenance.ts";
import { openMtProto } from "./open-mtproto.ts";
import { openWireGuard } from "./open-wireguard.ts";
import { systemClock } from "./runtime/clock.ts";
import { drivenByCore } from "./runtime/driven-by-core.ts";
import { openCounterKeeper } from "./runtime/kept-counters.ts";
import { createLogRing } from "./runtime/log-ring.ts";
import { createRuntime } from "./runtime/runtime.ts";
import { createSystemStats } from "./runtime/system-stats.ts";
import type { NodeSettings } from "./settings.ts";
import { createSkipCounter } from "./skip-counter.ts";

/** What the node needs besides its settings. */
export interface NodeDependencies {
  /** The node's own directory, which exists: keys and state. */
  dataDir: string;
  /** The node's version, at least 0.2.0, at most 32 characters. */
  version: string;
  /** The environment, of which the engines get what concerns them. */
  env: NodeJS.ProcessEnv;
  /** Has the node restart soon: the maintenance API is asked to. */
  restart: () => void;
  /** Where the node's own metrics go. */
  registry: Registry;
  log: Logger;
}

/** The node service, to be served. */
export interface Node {
  readonly services: readonly ServedService[];
  readonly gate: Gate;
  /** What `/openapi.json` says of it. */
  readonly describe: () => Promise<ApiDescription>;
  /** The API key, when it was made just now: to be shown once. */
  readonly madeApiKey: string | undefined;
  /** Updates and a restart, for a port of their own; undefined when the settings name none. To be closed besides. */
  readonly maintenance: Maintenance | undefined;
  /** Ends the engines. */
  close(): Promise<void>;
}

/** Puts the node together. Throws {@link UnusableApiKey}. */
export async function createNode(
  settings: Pick<
    NodeSettings,
    | "apiKey"
    | "xray"
    | "startupLogLines"
    | "logBufferLines"
    | "keepAliveGraceMs"
    | "resume"
    | "generatedConfigDir"
    | "kick"
    | "maintenance"
    | "core"
    | "telemt"
    | "wireguard"
    | "port"
  >,
  { dataDir, version, env, restart, registry, log }: NodeDependencies,
): Promise<Node> {
  const { key, made } = await loadApiKey({ configured: settings.apiKey, dataDir });
  const keptCore = join(dataDir, "core.json");
  const program = await programToUse(keptCore, settings.xray);
  const debug = settings.generatedConfigDir === undefined ? undefined : createDebug(settings.generatedConfigDir, log);
  const kept = {
    ...{ engine: join(dataDir, "xray-state"), counters: join(dataDir, "counters") },
    ...{ wireGuard: join(dataDir, "wireguard-state"), wireGuardCounters: join(dataDir, "wireguard-counters") },
  };
  const wireGuardDir = join(dataDir, "wireguard");
  const isWireGuardLeft = existsSync(wireGuardDir);
  const lines = createLogRing({ maxLines: settings.logBufferLines });
  const system = createSystemStats({ clock: systemClock });
  const agent = await openAgentIfAny(settings, { dataDir, version, env, registry, log, system });
  const resume = settings.resume ?? agent !== undefined;
  // What is kept no longer is not to be found by a node that keeps it again.
  if (!resume) for (const path of Object.values(kept)) await removeJournal(path);
  const keeperOf = async (path: string) =>
    resume ? openCounterKeeper(path, (err) => log.error({ err }, "the counters cannot be kept")) : undefined;
  const cutter = settings.kick ? await openCutter(env, log) : undefined;
  const onCut = settings.kick ? createCutCounter(registry) : undefined;
  const created: { xray?: UpdatableEngine } = {};
  const runtime = createRuntime({
    clock: systemClock,
    lines,
    system,
    keepAliveGraceMs: agent === undefined ? settings.keepAliveGraceMs : Number.POSITIVE_INFINITY,
    onCut,
    onSkipped: createSkipCounter(registry),
    log,
    backends: [
      {
        type: BackendType.XRAY,
        name: "xray",
        counterKeeper: await keeperOf(kept.counters),
        engine: {
          make(own) {
            const events = agent?.hear("xray", own) ?? own;
            const xray = createXrayEngine({
              ...program,
              env,
              runDir: join(dataDir, "run"),
              events: debug === undefined ? events : { ...events, line: bothOf(events.line, debug.line) },
              onConfig: debug?.config,
              onCall: createEngineCallCounter(registry),
              startupLogLines: settings.startupLogLines,
              stateFile: resume ? kept.engine : undefined,
              cutter,
              countOnline: agent !== undefined,
            });
            created.xray = xray;
            return xray;
          },
        },
      },
      {
        type: BackendType.WIREGUARD,
        name: "wireguard",
        counterKeeper: await keeperOf(kept.wireGuardCounters),
        engine: {
          load(own) {
            const events = agent?.hear("wireguard", own) ?? own;
            const stateFile = resume ? kept.wireGuard : undefined;
            return openWireGuard({ settings: settings.wireguard, runDir: wireGuardDir, stateFile, env, events });
          },
          isLeft: isWireGuardLeft,
        },
      },
    ],
  });
  // Whoever calls meanwhile need not wait: only a change of the engine does.
  void runtime.recover().catch((err: unknown) => log.error({ err }, "what the last run has left cannot be taken up"));
  if (agent !== undefined && created.xray !== undefined) {
    const mtproto = () => openMtProto(settings.telemt, { dataDir, env, agent, lines, log });
    const wireguard = { open: () => runtime.engine(BackendType.WIREGUARD), isLeft: isWireGuardLeft };
    agent.drive({ xray: created.xray, mtproto, wireguard, onCut });
  }
  const gate = createNodeGate({ key, now: systemClock.now });
  const describe = () => describeNode(version);
  const maintenance =
    settings.maintenance &&
    created.xray &&
    // Loaded only where it is served, for the sake of memory.
    (await import("./maintenance/maintenance.ts")).createMaintenance({
      settings: settings.maintenance,
      engine: created.xray,
      program: { initial: program, configured: settings.xray },
      keptCore,
      dataDir,
      env,
      gate,
      describe,
      restart,
      now: () => new Date(),
      log,
    });
  return {
    services: [
      createNodeService({ runtime: agent === undefined ? runtime : drivenByCore(runtime), nodeVersion: version }),
      createConnectionService({ runtime, enabled: settings.kick }),
    ],
    gate,
    describe,
    madeApiKey: made,
    maintenance,
    close: () => (agent === undefined ? runtime.close() : agent.close(() => runtime.close())),
  };
}

/** The agent, when Core is to drive this node, or does already. Loaded only then, for the sake of memory. */
async function openAgentIfAny(
  { core, telemt, wireguard, port }: Pick<NodeSettings, "core" | "telemt" | "wireguard" | "port">,
  {
    dataDir,
    env,
    ...rest
  }: Pick<AgentOptions, "version" | "registry" | "log" | "system"> & Pick<NodeDependencies, "dataDir" | "env">,
): Promise<Agent | undefined> {
  const directory = join(dataDir, "agent");
  if (core === undefined && !(await isFile(join(directory, "identity.json"), constants.R_OK))) return undefined;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const [{ openAgent }, { canRunWireGuard }] = await Promise.all([
    import("./agent/agent.ts"),
    import("./engines/wireguard/ability.ts"),
  ]);
  const capabilities = [
    "xray",
    ...(telemt === undefined ? [] : ["mtproto"]),
    ...((await canRunWireGuard({ ...wireguard, env })) ? ["wireguard"] : []),
  ];
  return openAgent({ ...rest, settings: core, directory, port, capabilities });
}

async function openCutter(env: NodeJS.ProcessEnv, log: Logger): Promise<ConnectionCutter> {
  const cutter = await createConnectionCutter({ env });
  const { inability: reason } = cutter;
  if (reason === undefined) log.info("connections of users who are removed are cut");
  else log.warn({ reason }, "GARRISON_KICK is on, but connections cannot be cut");
  return cutter;
}

function bothOf(first: (text: string) => void, second: (text: string) => void): (text: string) => void {
  return (text) => {
    first(text);
    second(text);
  };
}
