import { chmod, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectory } from "../files/make-directory.ts";
import { wrongValue } from "./variables.ts";

/** The data directory cannot be used. The message names the variable, the directory and what would be right. */
class UnusableDataDir extends Error {
  override readonly name = "UnusableDataDir";
}

/**
 * Makes the data directory of all services, for the eyes of this user only (mode 0700). An empty directory that others
 * can see into is closed to them; one that holds something is refused, for it may be one that others need.
 *
 * @param root absolute
 * @throws UnusableDataDir
 */
export async function openDataDir(root: string): Promise<void> {
  await usable(root, async () => {
    await makeDirectory(root, 0o700);
    await closeToOthers(root);
  });
}

/**
 * Makes the data directory as {@link openDataDir} does, and in it the directory of one service.
 *
 * @returns the directory of the service
 * @throws UnusableDataDir
 */
export async function openServiceDir(root: string, service: string): Promise<string> {
  await openDataDir(root);
  const directory = join(root, service);
  await usable(root, async () => {
    await makeDirectory(directory, 0o700);
    await chmod(directory, 0o700);
  });
  return directory;
}

/** Where services keep the certificate that they made. They share it: all are reached by the same names. */
export function certificateDir(root: string): string {
  return join(root, "certificate");
}

async function usable(root: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UnusableDataDir(wrongValue("GARRISON_DATA_DIR", root, `cannot be used: ${reason}`), { cause: error });
  }
}

async function closeToOthers(directory: string): Promise<void> {
  const mode = (await stat(directory)).mode & 0o777;
  if ((mode & 0o077) === 0) return;
  if ((await readdir(directory)).length > 0) {
    const shown = mode.toString(8).padStart(4, "0");
    throw new Error(
      `it is open to other users (mode ${shown}); run \`chmod 700\` on it, or name a directory of its own`,
    );
  }
  await chmod(directory, 0o700);
}
