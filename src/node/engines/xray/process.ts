import type { EngineProgram } from "../engine.ts";
import { type EngineProcess, type LineOptions, spawnProcess } from "../process/engine-process.ts";

/** The program and what surrounds it. */
export interface XrayProgram extends EngineProgram {
  /** The environment of the node, of which Xray gets what concerns it. */
  readonly env: NodeJS.ProcessEnv;
}

/**
 * Starts `xray run` with the config on its stdin: the config holds secrets, and appears neither on disk nor among the
 * arguments. With `output`, the path of a named pipe, it can outlive this process. Throws when the program cannot be run.
 */
export function spawnXray(
  { executable, assets, env }: XrayProgram,
  config: Iterable<string>,
  { test, ...options }: LineOptions & { test?: boolean; output?: string | undefined },
): Promise<EngineProcess> {
  return spawnProcess({
    ...options,
    executable,
    args: ["run", ...(test ? ["-test"] : []), "-format", "json", "-c", "stdin:"],
    env: { ...environmentOf(env), XRAY_LOCATION_ASSET: assets },
    input: config,
  });
}

/**
 * The line that says why Xray did not run: a panic, or its "Failed to start". Undefined when it said neither.
 */
export function failureLine(lines: readonly string[]): string | undefined {
  return (
    lines.find((line) => /^(panic|fatal error|runtime): /.test(line)) ??
    lines.findLast((line) => /^failed to start/i.test(line))
  );
}

// Not the rest: it holds the node's own secrets; SSL_CERT_FILE, the node's certificate, would replace the authorities
// that Xray trusts; and a directory of configs would add to the one that the node gives.
const passedOn = /^(PATH|HOME|TZ|LANG|LC_.*|TMPDIR|GO[A-Z]+|XRAY_(?!LOCATION_CONF).*|xray\.(?!location\.conf).*)$/;

/** What Xray gets of the node's environment. */
export function environmentOf(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => passedOn.test(name)));
}
