import type { EngineProgram } from "../engines/engine.ts";
import type { Runtime } from "../runtime/runtime.ts";

/** The program that the node runs its engine with, and how it is changed. */
export interface Program {
  /** What is used from the next start on. */
  readonly current: EngineProgram;
  /** See {@link Runtime.tryProgram}. */
  try(change: Partial<EngineProgram>): Promise<void>;
  /** See {@link Runtime.useProgram}. */
  use(change: Partial<EngineProgram>, options: { restart: boolean }): Promise<boolean>;
}

/** Makes the program of a runtime, which was made with `initial`. */
export function createProgram(runtime: Pick<Runtime, "tryProgram" | "useProgram">, initial: EngineProgram): Program {
  let current = initial;
  return {
    get current() {
      return current;
    },
    try: (change) => runtime.tryProgram({ ...current, ...change }),
    async use(change, options) {
      const changed = { ...current, ...change };
      const restarted = await runtime.useProgram(changed, options);
      current = changed;
      return restarted;
    },
  };
}
