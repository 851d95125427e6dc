import type { EngineProgram, UpdatableEngine } from "../engines/engine.ts";

/** The program that the node runs its engine with, and how it is changed. */
export interface Program {
  /** What is used from the next start on. */
  readonly current: EngineProgram;
  /** See {@link UpdatableEngine.tryProgram}. */
  try(change: Partial<EngineProgram>): Promise<void>;
  /** See {@link UpdatableEngine.useProgram}. */
  use(change: Partial<EngineProgram>, options: { restart: boolean }): Promise<boolean>;
}

/** Makes the program of an engine, which was made with `initial`. */
export function createProgram(
  engine: Pick<UpdatableEngine, "tryProgram" | "useProgram">,
  initial: EngineProgram,
): Program {
  let current = initial;
  return {
    get current() {
      return current;
    },
    try: (change) => engine.tryProgram({ ...current, ...change }),
    async use(change, options) {
      const changed = { ...current, ...change };
      const restarted = await engine.useProgram(changed, options);
      current = changed;
      return restarted;
    },
  };
}
