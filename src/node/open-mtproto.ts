import { join } from "node:path";
import type { Logger } from "../platform/telemetry/log.ts";
import type { Agent } from "./agent/agent.ts";
import type { MtProtoEngine } from "./engines/mtproto/mtproto-engine.ts";
import type { LogRing } from "./runtime/log-ring.ts";

/** Options of {@link openMtProto}. */
export interface OpenMtProtoOptions {
  /** The node's own directory. */
  readonly dataDir: string;
  readonly env: NodeJS.ProcessEnv;
  readonly agent: Pick<Agent, "hear">;
  /** Where the engine's lines go. */
  readonly lines: Pick<LogRing, "push">;
  readonly log: Logger;
}

/** The engine of MTProto, whose code is loaded only now. Undefined without a telemt to run. */
export async function openMtProto(
  telemt: string | undefined,
  { dataDir, env, agent, lines, log }: OpenMtProtoOptions,
): Promise<MtProtoEngine | undefined> {
  if (telemt === undefined) return undefined;
  const { createMtProtoEngine } = await import("./engines/mtproto/mtproto-engine.ts");
  return createMtProtoEngine({
    program: { executable: telemt, env },
    runDir: join(dataDir, "telemt"),
    now: Date.now,
    events: agent.hear("mtproto", {
      line: lines.push,
      stateChanged: (state) => log.info({ state }, "telemt"),
      exited: ({ code, signal, restartInMs }) => log.warn({ code, signal, restartInMs }, "telemt exited"),
      restarted: () => log.info("telemt is back"),
      drained: () => undefined,
    }),
  });
}
