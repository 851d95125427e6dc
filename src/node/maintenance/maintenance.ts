import { join } from "node:path";
import type { Env } from "../../platform/config/variables.ts";
import type { ApiDescription } from "../../platform/rest/openapi/openapi.ts";
import type { Gate } from "../../platform/rpc/gate.ts";
import type { ServedService } from "../../platform/rpc/served-service.ts";
import type { Logger } from "../../platform/telemetry/log.ts";
import type { EngineProgram, UpdatableEngine } from "../engines/engine.ts";
import { cacheDir } from "../engines/install/locate.ts";
import { createCoreUpdate } from "./core-update.ts";
import { createMaintenanceGate } from "./gate.ts";
import { createGeoFiles } from "./geo-files.ts";
import { createJobs, type Work } from "./jobs.ts";
import { createMaintenanceService } from "./maintenance-service.ts";
import type { MaintenanceSettings } from "./maintenance-variables.ts";
import { createProgram } from "./program.ts";
import { UpdateCommandMissing } from "./situations.ts";
import { runUpdateCommand } from "./update-command.ts";

/** Options of {@link createMaintenance}. */
export interface MaintenanceOptions {
  settings: MaintenanceSettings;
  engine: Pick<UpdatableEngine, "tryProgram" | "useProgram">;
  /** The program that the engine was made with, and the one that the settings name. */
  program: { readonly initial: EngineProgram; readonly configured: EngineProgram };
  /** The file that keeps the choice of a program over restarts of the node. */
  keptCore: string;
  /** The node's own directory. */
  dataDir: string;
  env: Env;
  /** The node's own gate. */
  gate: Gate;
  describe: () => Promise<ApiDescription>;
  /** Has the node restart soon. */
  restart: () => void;
  now: () => Date;
  log: Logger;
}

/** The maintenance API, to be served on a port of its own. */
export interface Maintenance {
  readonly port: number;
  readonly services: readonly ServedService[];
  readonly gate: Gate;
  readonly describe: () => Promise<ApiDescription>;
  /** Ends what is being done, but for a program that updates the node: that goes on. */
  close(): Promise<void>;
}

/** Puts the maintenance API together. */
export function createMaintenance(options: MaintenanceOptions): Maintenance {
  const { settings, dataDir, env, describe, restart, now, log } = options;
  const { initial, configured } = options.program;
  const jobs = createJobs({ now, log });
  const program = createProgram(options.engine, initial);
  const nodeUpdate: Work = async (signal) => {
    const { updateCommand: command } = settings;
    if (command === undefined) throw new UpdateCommandMissing();
    const ended = await runUpdateCommand({ command, env, logFile: join(dataDir, "update.log"), signal });
    return { detail: ended ? "node updated successfully" : "the node is being restarted for its update" };
  };
  const service = createMaintenanceService({
    jobs,
    coreUpdate: createCoreUpdate({
      program,
      configured,
      keptIn: options.keptCore,
      cacheDir: cacheDir(env),
      mirror: settings.xrayMirror,
      env,
    }),
    geoFiles: createGeoFiles({ program, assets: configured.assets, mirror: settings.geoMirror }),
    nodeUpdate,
    restart,
  });
  return {
    port: settings.port,
    services: [service],
    gate: createMaintenanceGate(options.gate),
    describe: async () => ({ ...(await describe()), title: "Garrison node: maintenance" }),
    close: () => jobs.close(),
  };
}
