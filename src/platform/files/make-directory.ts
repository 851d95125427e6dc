import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { isErrno } from "../errno.ts";

/**
 * Makes a directory, and those that it is to lie in, where they are not there yet. Throws the system's errors. Not by
 * Node's `recursive`: that tries for ever where a directory says of one within it that it cannot be, as /proc does.
 *
 * @param mode of what is made. Default: 0o777, less the process's mask.
 */
export async function makeDirectory(path: string, mode?: number): Promise<void> {
  try {
    await make(path, mode);
  } catch (error) {
    const parent = dirname(path);
    if (!isErrno(error, "ENOENT") || parent === path) throw error;
    await makeDirectory(parent, mode);
    await make(path, mode);
  }
}

async function make(path: string, mode: number | undefined): Promise<void> {
  try {
    await mkdir(path, mode);
  } catch (error) {
    if (!isErrno(error, "EEXIST") || !(await stat(path)).isDirectory()) throw error;
  }
}
