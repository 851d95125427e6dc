import { execFile } from "node:child_process";
import { stat } from "node:fs/promises";
import { promisify } from "node:util";
import { StartFailed } from "../engine-error.ts";

/** Tells the version of an Xray executable, such as `26.3.27`; runs the program once per file. */
export function createVersionReader(): (executable: string) => Promise<string> {
  const known = new Map<string, { file: string; version: string }>();
  return async (executable) => {
    const { ino, size, mtimeMs } = await stat(executable).catch((error) => {
      throw new StartFailed(`xray executable cannot be found: ${error.message}`);
    });
    const file = `${ino} ${size} ${mtimeMs}`;
    const cached = known.get(executable);
    if (cached?.file === file) return cached.version;
    const version = await readVersion(executable);
    known.set(executable, { file, version });
    return version;
  };
}

async function readVersion(executable: string): Promise<string> {
  const { stdout } = await promisify(execFile)(executable, ["version"], { timeout: 10_000, env: {} }).catch((error) => {
    throw new StartFailed(`xray executable cannot be run: ${error.message}`);
  });
  const version = /^Xray (\d+\.\d+\.\d+)/m.exec(stdout)?.[1];
  if (version === undefined) throw new StartFailed("could not parse Xray version");
  return version;
}
