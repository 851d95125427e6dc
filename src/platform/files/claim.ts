import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../errno.ts";
import { bootId, isRunning, startTicks } from "../proc.ts";

/** Another process uses the directory. The message names both. */
export class DirectoryInUse extends Error {
  override readonly name = "DirectoryInUse";
}

/** A directory that no other process uses meanwhile. */
export interface Claim {
  release(): Promise<void>;
}

/**
 * Claims a directory for this process. The claim of a process that has ended, however that came about, is void.
 *
 * @throws DirectoryInUse
 */
export async function claimDirectory(directory: string): Promise<Claim> {
  const path = join(directory, "in-use-by");
  const claim = `${process.pid} ${startTicks(process.pid)} ${bootId()}\n`;
  try {
    await writeFile(path, claim, { flag: "wx", mode: 0o600 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    const holder = await holderOf(path);
    if (holder !== undefined)
      throw new DirectoryInUse(`${directory} is in use by process ${holder}: end that, or name another data directory`);
    await rm(path, { force: true });
    return claimDirectory(directory);
  }
  return { release: () => rm(path, { force: true }) };
}

/** The pid of another process whose claim stands. */
async function holderOf(path: string): Promise<number | undefined> {
  const [pid, ticks = "", boot] = (await readFile(path, "utf8").catch(() => "")).trim().split(" ");
  // A process that has become another program, and starts again, keeps its pid.
  if (Number(pid) === process.pid || boot !== bootId()) return undefined;
  return isRunning(Number(pid), ticks) ? Number(pid) : undefined;
}
