import { BackendType } from "../../gen/service/node_pb.ts";
import { createLogRing, type LogRing } from "../../src/node/runtime/log-ring.ts";
import { createRuntime, type Runtime } from "../../src/node/runtime/runtime.ts";
import { createSystemStats } from "../../src/node/runtime/system-stats.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createManualClock, type ManualClock } from "./manual-clock.ts";
import { createMemoryEngine, type MemoryEngine } from "./memory-engine.ts";

/** A runtime whose engine lives in memory and whose time stands still, and what it was made of. */
export interface MemoryRuntime {
  readonly runtime: Runtime;
  readonly engine: MemoryEngine;
  readonly clock: ManualClock;
  readonly lines: LogRing;
}

/** Makes a runtime that is not started. */
export function createMemoryRuntime(): MemoryRuntime {
  const clock = createManualClock();
  const lines = createLogRing();
  const engines: MemoryEngine[] = [];
  const runtime = createRuntime({
    backends: [
      {
        type: BackendType.XRAY,
        name: "xray",
        engine: {
          make(events) {
            const engine = createMemoryEngine(events);
            engines.push(engine);
            return engine;
          },
        },
      },
    ],
    clock,
    lines,
    system: createSystemStats({ clock }),
    log: createLog("test", "silent"),
  });
  const [engine] = engines;
  if (engine === undefined) throw new Error("the runtime made no engine");
  return { runtime, engine, clock, lines };
}
