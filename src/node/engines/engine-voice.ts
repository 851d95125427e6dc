import type { EngineEvents, EngineState } from "./engine.ts";

/** The state that an engine is in, and what is said of its running. */
export class EngineVoice {
  readonly #events: Pick<EngineEvents, "line" | "stateChanged">;
  #state: EngineState = "stopped";

  /** Tells `events`. */
  constructor(events: Pick<EngineEvents, "line" | "stateChanged">) {
    this.#events = events;
  }

  get state(): EngineState {
    return this.#state;
  }

  /** Tells a state, unless it is in that already. */
  enter(state: EngineState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#events.stateChanged(state);
  }

  /** Says something among the engine's own lines. */
  say(note: string): void {
    this.#events.line(`[garrison] ${note}`);
  }
}
