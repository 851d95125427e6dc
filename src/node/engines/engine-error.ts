/** The config cannot be run, or the engine's own test refused it. Whatever ran before runs on untouched. */
export class ConfigRefused extends Error {
  override readonly name = "ConfigRefused";
}

/** The engine did not come up. The message carries its last words. */
export class StartFailed extends Error {
  override readonly name: string = "StartFailed";
}

/** The engine did not come up because another program has its port. */
export class PortInUse extends StartFailed {
  override readonly name = "PortInUse";
}

/** The engine runs, but did not take over what it was to take over live: what was in force before still is. */
export class ApplyTimedOut extends Error {
  override readonly name = "ApplyTimedOut";
}

/** The call needs a running engine, and there is none: it was not started, or it is on its way back. */
export class EngineNotRunning extends Error {
  override readonly name = "EngineNotRunning";
}

/** The engine's API did not answer, or answered with an error that no user is to blame for. */
export class EngineUnreachable extends Error {
  override readonly name = "EngineUnreachable";
}
