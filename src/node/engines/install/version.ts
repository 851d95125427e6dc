import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { PinnedEngine } from "./pinned.ts";

/** A program is not the engine that it should be. */
export class NotThisEngine extends Error {
  override readonly name = "NotThisEngine";
}

/**
 * The version that a program says it has.
 *
 * @throws NotThisEngine when it cannot be run, or says something else than the engine would
 */
export async function versionOf(program: string, engine: PinnedEngine): Promise<string> {
  const { stdout } = await promisify(execFile)(program, [engine.versionArgument], { timeout: 20_000 }).catch(
    (error: Error) => {
      throw new NotThisEngine(`${program} cannot be run: ${error.message.split("\n")[0]}`, { cause: error });
    },
  );
  const version = stdout.startsWith(engine.versionPrefix)
    ? /^\S+/.exec(stdout.slice(engine.versionPrefix.length))?.[0]
    : undefined;
  if (version === undefined)
    throw new NotThisEngine(`${program} is not ${engine.name}: it says ${JSON.stringify(stdout.slice(0, 80))}`);
  return version;
}
