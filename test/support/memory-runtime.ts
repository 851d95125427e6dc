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
  /** The one that is there from the start. */
  readonly engine: MemoryEngine;
  /** The other one, of the type WIREGUARD, which has no inbounds of its own. Undefined until it is first wanted. */
  readonly other: MemoryEngine | undefined;
  readonly clock: ManualClock;
  readonly lines: LogRing;
}

/** Makes a runtime that is not started. */
export function createMemoryRuntime(): MemoryRuntime {
  const clock = createManualClock();
  const lines = createLogRing();
  const engines: MemoryEngine[] = [];
  let other: MemoryEngine | undefined;
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
      {
        type: BackendType.WIREGUARD,
        name: "wireguard",
        engine: {
          isLeft: false,
          load: async (events) => {
            other = createMemoryEngine(events, ["user", "outbound"]);
            return other;
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
  return {
    ...{ runtime, engine, clock, lines },
    get other() {
      return other;
    },
  };
}
