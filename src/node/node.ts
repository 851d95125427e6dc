import { join } from "node:path";
import type { ApiDescription } from "../platform/rest/openapi/openapi.ts";
import type { Gate } from "../platform/rpc/gate.ts";
import type { ServedService } from "../platform/rpc/served-service.ts";
import type { Logger } from "../platform/telemetry/log.ts";
import { loadApiKey } from "./api/api-key.ts";
import { describeNode } from "./api/description.ts";
import { createNodeGate } from "./api/gate.ts";
import { createNodeService } from "./api/node-service.ts";
import { createDebug } from "./debug.ts";
import { createXrayEngine } from "./engines/xray/xray-engine.ts";
import { systemClock } from "./runtime/clock.ts";
import { createLogRing } from "./runtime/log-ring.ts";
import { createRuntime } from "./runtime/runtime.ts";
import { createSystemStats } from "./runtime/system-stats.ts";
import type { NodeSettings } from "./settings.ts";

/** What the node needs besides its settings. */
export interface NodeDependencies {
  /** The node's own directory, which exists: keys and state. */
  dataDir: string;
  /** The node's version, at least 0.2.0, at most 32 characters. */
  version: string;
  /** The environment, of which the engines get what concerns them. */
  env: NodeJS.ProcessEnv;
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
  /** Ends the engines. */
  close(): Promise<void>;
}

/** Puts the node together. Throws {@link UnusableApiKey}. */
export async function createNode(
  settings: Pick<
    NodeSettings,
    "apiKey" | "xray" | "startupLogLines" | "logBufferLines" | "keepAliveGraceMs" | "generatedConfigDir"
  >,
  { dataDir, version, env, log }: NodeDependencies,
): Promise<Node> {
  const { key, made } = await loadApiKey({ configured: settings.apiKey, dataDir });
  const { executable, assets } = settings.xray;
  const debug = settings.generatedConfigDir === undefined ? undefined : createDebug(settings.generatedConfigDir, log);
  const runtime = createRuntime({
    clock: systemClock,
    lines: createLogRing({ maxLines: settings.logBufferLines }),
    system: createSystemStats({ clock: systemClock }),
    keepAliveGraceMs: settings.keepAliveGraceMs,
    log,
    createEngine: (events) =>
      createXrayEngine({
        executable,
        assets,
        env,
        runDir: join(dataDir, "run"),
        events: debug === undefined ? events : { ...events, line: bothOf(events.line, debug.line) },
        onConfig: debug?.config,
        startupLogLines: settings.startupLogLines,
      }),
  });
  return {
    services: [createNodeService({ runtime, nodeVersion: version })],
    gate: createNodeGate({ key, now: systemClock.now }),
    describe: () => describeNode(version),
    madeApiKey: made,
    close: () => runtime.close(),
  };
}

function bothOf(first: (text: string) => void, second: (text: string) => void): (text: string) => void {
  return (text) => {
    first(text);
    second(text);
  };
}
