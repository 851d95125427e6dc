import { type EngineProcess, type LineOptions, spawnProcess } from "../process/engine-process.ts";

/** The program and what surrounds it. */
export interface TelemtProgram {
  /** Absolute. */
  readonly executable: string;
  /** The environment of the node, of which telemt gets what concerns it. */
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Starts telemt with a config file, in the directory where it keeps its own files. Throws when the program cannot be
 * run.
 */
export function spawnTelemt(
  { executable, env }: TelemtProgram,
  { directory, configPath, ...lines }: LineOptions & { directory: string; configPath: string },
): Promise<EngineProcess> {
  return spawnProcess({ ...lines, executable, args: [configPath], env: environmentOf(env), directory });
}

// Not the rest: it holds the node's own secrets.
const passedOn = /^(PATH|HOME|TZ|LANG|LC_.*|TMPDIR|RUST_LOG|RUST_BACKTRACE)$/;

function environmentOf(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => passedOn.test(name)));
}
