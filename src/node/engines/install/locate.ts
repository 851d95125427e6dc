import { constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import type { Env } from "../../../platform/config/variables.ts";
import { isFile } from "../../../platform/is-file.ts";
import { type PinnedEngine, pinnedEngines } from "./pinned.ts";

/** Options of {@link findXray}. */
export interface FindOptions {
  /** Default: that of the process. */
  env?: Env;
  /** Where `garrison engines install` puts programs. Default: {@link cacheDir} of `env`. */
  cacheDir?: string;
}

/** Where the original node has its Xray, and so do those who install it by hand. */
export const usualXrayPath = "/usr/local/bin/xray";
/** Where the original node has the geodata of Xray. */
export const usualXrayAssets = "/usr/local/share/xray";

/**
 * The Xray to use: what `XRAY_EXECUTABLE_PATH` names, else what `garrison engines install xray` has installed, else
 * /usr/local/bin/xray, else the first one on the PATH. Undefined when there is none, also when the named one is missing.
 */
export async function findXray({
  env = process.env,
  cacheDir: cache = cacheDir(env),
}: FindOptions = {}): Promise<string | undefined> {
  const named = env.XRAY_EXECUTABLE_PATH;
  if (named) return firstProgram([resolve(named)]);
  return firstProgram([installedPath(cache, pinnedEngines.xray), usualXrayPath, ...onPath(env, "xray")]);
}

/**
 * The telemt to use: what `TELEMT_PATH` names, else the first one on the PATH. Undefined when there is none, also when
 * the named one is missing.
 */
export async function findTelemt(env: Env): Promise<string | undefined> {
  return firstProgram(env.TELEMT_PATH ? [resolve(env.TELEMT_PATH)] : onPath(env, "telemt"));
}

/** The program of an engine: the one that is named, else in the cache or on the PATH. Undefined when there is none. */
export async function findEngine(engine: PinnedEngine, options: FindOptions = {}): Promise<string | undefined> {
  if (engine.name === "xray") return findXray(options);
  const { env = process.env, cacheDir: cache = cacheDir(env) } = options;
  const named = engine.name === "wireguard" ? env.WIREGUARD_GO_PATH : undefined;
  if (named) return firstProgram([resolve(named)]);
  return firstProgram([installedPath(cache, engine), ...onPath(env, engine.program)]);
}

/** The geodata beside a program, where its archive brought some; else where the original node has it. */
export async function findXrayAssets(executable: string): Promise<string> {
  const directory = dirname(executable);
  return (await isFile(join(directory, "geoip.dat"), constants.R_OK)) ? directory : usualXrayAssets;
}

/** Where programs are cached: `GARRISON_CACHE_DIR`, else `garrison` in the user's cache directory. Absolute. */
export function cacheDir(env: Env): string {
  if (env.GARRISON_CACHE_DIR) return resolve(env.GARRISON_CACHE_DIR);
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache"), "garrison");
}

/** The directory of one version of an engine in the cache. */
export function installedDir(cache: string, engine: PinnedEngine): string {
  return join(cache, "engines", engine.name, engine.version);
}

/** The program of one version of an engine in the cache. */
export function installedPath(cache: string, engine: PinnedEngine): string {
  return join(installedDir(cache, engine), engine.program);
}

/** The first program of a name on the PATH. Undefined when there is none. */
export function findOnPath(env: Env, name: string): Promise<string | undefined> {
  return firstProgram(onPath(env, name));
}

function onPath(env: Env, name: string): string[] {
  const directories = (env.PATH ?? "").split(delimiter).filter((directory) => directory.startsWith("/"));
  return directories.map((directory) => join(directory, name));
}

async function firstProgram(candidates: readonly string[]): Promise<string | undefined> {
  for (const candidate of candidates) if (await isFile(candidate, constants.X_OK)) return candidate;
  return undefined;
}
