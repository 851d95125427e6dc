import { create } from "@bufbuild/protobuf";
import {
  type EngineStatus,
  EngineStatusSchema,
  EngineState as Told,
} from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import type { EngineEvents, EngineExit, EngineState, Incarnation, TrafficReading } from "../../engines/engine.ts";
import type { DrivenEngine } from "./driven-engine.ts";

/** What an agent has heard of an engine. */
export interface EngineWatch {
  /** To be told what the engine tells. */
  readonly events: Pick<EngineEvents, "drained" | "exited" | "restarted" | "stateChanged" | "vanished">;
  /** How often the engine has come up. */
  readonly lives: number;
  /** The engine for a heartbeat. `ports` are those that its config names. */
  status(engine: DrivenEngine, ports: readonly number[]): EngineStatus;
}

/** Who wants to know of an engine's ends. */
export interface EngineEnds {
  /** The last reading of an incarnation that ends as planned. */
  drained(reading: TrafficReading): void;
  /** The process has ended unasked, and took along what it had counted since it was read last. */
  exited(exit: EngineExit): void;
  /** An incarnation that an earlier process has left is gone. */
  vanished(incarnation: Incarnation): void;
}

/** Makes one of an engine that was not started. */
export function watchEngine(ends: EngineEnds, now: () => number): EngineWatch {
  let lives = 0;
  let restarts = 0;
  let startedAt: number | undefined;
  return {
    events: {
      drained: ends.drained,
      vanished: ends.vanished,
      exited(exit) {
        startedAt = undefined;
        ends.exited(exit);
      },
      restarted() {
        restarts += 1;
      },
      stateChanged(state) {
        if (state !== "running") {
          startedAt = undefined;
          return;
        }
        lives += 1;
        startedAt ??= now();
      },
    },
    get lives() {
      return lives;
    },
    status({ kind, counted }, ports) {
      const state = counted?.state ?? "stopped";
      return create(EngineStatusSchema, {
        ...{ kind, version: counted?.version ?? "", restarts },
        // Its config names ports: it shall run.
        state: state === "stopped" && ports.length > 0 ? Told.FAILED : states[state],
        ...(startedAt !== undefined && { startedAtMs: BigInt(startedAt) }),
        ports: state === "stopped" ? [] : [...ports],
      });
    },
  };
}

const states: Record<EngineState, Told> = {
  stopped: Told.STOPPED,
  starting: Told.STARTING,
  running: Told.RUNNING,
  restarting: Told.STARTING,
};
