import { create } from "@bufbuild/protobuf";
import { type EngineApplied, EngineAppliedSchema } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { NodeConfig } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { Logger } from "../../../platform/telemetry/log.ts";
import type { FaultReports } from "../contact/fault-reports.ts";
import type { DrivenEngine, Refusals } from "../engines/driven-engine.ts";
import type { GoodConfig } from "./kept-config.ts";

/** Has the engines run a config. */
export interface Applying {
  /**
   * Asks all engines whether they can run a config, and has them run it. Returns what became of those that it needs.
   * Throws what the first engine throws that cannot; others may run it by then.
   */
  apply(config: NodeConfig): Promise<EngineApplied[]>;
  /** Has all engines run a config that ran before; false when one cannot, which is logged, and holds up no other. */
  bringBack(good: Pick<GoodConfig, "config" | "revision">): Promise<boolean>;
}

/** Options of {@link createApplying}. */
export interface ApplyingOptions {
  /** In the order in which they are changed. */
  readonly engines: readonly DrivenEngine[];
  readonly refusals: Refusals;
  /** Told of users whom an engine does not take. */
  readonly faults: Pick<FaultReports, "report">;
  /** The engines are about to be ended: nothing is applied any more, and both functions throw. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Makes it. */
export function createApplying({ engines, refusals, faults, signal, log }: ApplyingOptions): Applying {
  /** Nothing is told of an engine that the config does not need. */
  async function applyTo(engine: DrivenEngine, { services, revision }: NodeConfig): Promise<EngineApplied[]> {
    signal.throwIfAborted();
    const began = performance.now();
    const { mode, users, leftOut } = await engine.apply(services, refusals);
    if (leftOut.length > 0) tellLeftOut(leftOut, Number(revision));
    if (users === undefined) return [];
    const durationMs = BigInt(Math.round(performance.now() - began));
    return [create(EngineAppliedSchema, { kind: engine.kind, mode, users: BigInt(users), durationMs })];
  }

  function tellLeftOut(leftOut: readonly { readonly email: string; readonly reason: string }[], revision: number) {
    const named = leftOut.slice(0, 5).map(({ email, reason }) => `${email}: ${reason}`);
    const rest = leftOut.length > named.length ? `, and ${leftOut.length - named.length} more` : "";
    const message = `users of revision ${revision} whom the engine does not take: ${named.join("; ")}${rest}`;
    faults.report({ code: "CONFIG_INVALID", message, severity: "warning", details: { users: leftOut.length } });
  }

  return {
    async apply(config) {
      for (const engine of engines) await engine.check?.(config.services);
      const applied: EngineApplied[] = [];
      for (const engine of engines) applied.push(...(await applyTo(engine, config)));
      return applied;
    },
    async bringBack({ config, revision }) {
      // At once: nobody waits for an engine that others use.
      const isBack = await Promise.all(
        engines.map(async (engine) => {
          try {
            await applyTo(engine, config);
            return true;
          } catch (err) {
            if (!signal.aborted) log.error({ err, revision, engine: engine.name }, "the last good config does not run");
            return false;
          }
        }),
      );
      if (isBack.every(Boolean)) return true;
      signal.throwIfAborted();
      return false;
    },
  };
}
