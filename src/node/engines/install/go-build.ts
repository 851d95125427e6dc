import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Env } from "../../../platform/config/variables.ts";
import { isErrno } from "../../../platform/errno.ts";
import type { GoSource } from "./pinned.ts";
import type { Progress } from "./progress.ts";

/** Options of {@link buildWithGo}. */
export interface GoBuildOptions {
  source: GoSource;
  /** Where the program is put. */
  output: string;
  /** A directory without Go files of its own. */
  workDir: string;
  env: Env;
  signal: AbortSignal;
  progress: Progress;
}

/** Go is not on the PATH. */
export class GoMissing extends Error {
  override readonly name = "GoMissing";
}

/** Go could not fetch or build a module. The message ends with what Go said. */
export class GoBuildFailed extends Error {
  override readonly name = "GoBuildFailed";
}

/**
 * Builds a program from a pinned module with the Go of the machine. The module must have the pinned checksum; it is
 * built in place, so that its own go.sum pins everything that it needs, whatever checksum database the machine asks.
 *
 * @throws GoMissing, GoBuildFailed, or the reason of `signal`
 */
export async function buildWithGo(options: GoBuildOptions): Promise<void> {
  const { source, progress } = options;
  const module = `${source.module}@${source.version}`;
  progress.note(`fetching the Go module ${module}`);
  const downloaded = JSON.parse(await go(["mod", "download", "-json", module], options)) as {
    Dir: string;
    Sum: string;
  };
  if (downloaded.Sum !== source.sum)
    throw new GoBuildFailed(`the module ${module} has the checksum ${downloaded.Sum}, but ${source.sum} is pinned`);
  progress.note("building it, which takes some minutes the first time");
  const flags = ["-trimpath", "-buildvcs=false", "-mod=readonly", `-ldflags=${source.ldflags}`];
  if (source.tags !== undefined) flags.push(`-tags=${source.tags}`);
  await go(["build", "-C", downloaded.Dir, "-v", ...flags, "-o", options.output, source.package], options);
}

async function go(args: readonly string[], { workDir, env, signal, progress }: GoBuildOptions): Promise<string> {
  const child = spawn("go", args, {
    cwd: workDir,
    env: {
      ...env,
      // To Go it is a list of authorities, to the node its own certificate, which has a key beside it.
      SSL_CERT_FILE: env.SSL_KEY_FILE ? undefined : env.SSL_CERT_FILE,
      CGO_ENABLED: "0",
      GOFLAGS: "",
      GOWORK: "off",
    },
    stdio: ["ignore", "pipe", "pipe"],
    signal,
    killSignal: "SIGINT", // Go then removes its own temporary files
  });
  const said: string[] = [];
  let lines = 0;
  createInterface(child.stderr).on("line", (line) => {
    lines += 1;
    progress.update(`${lines} steps: ${line.slice(0, 60)}`);
    said.push(line);
    if (said.length > 20) said.shift();
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  let failure: unknown;
  child.on("error", (error) => {
    failure = error;
  });
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  signal.throwIfAborted();
  if (isErrno(failure, "ENOENT")) throw new GoMissing("Go is not on the PATH");
  if (code === 0) return output;
  throw new GoBuildFailed([`go ${args[0]} failed:`, ...said, output].join("\n").trim(), { cause: failure });
}
