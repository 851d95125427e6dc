import { randomUUID } from "node:crypto";
import { link, mkdir, open, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { isErrno } from "../errno.ts";

/**
 * Keeps a line in a file that only this user can read, whole or not at all, unless there is such a file already.
 *
 * @returns whether it was kept
 */
export async function keepFirst(path: string, line: string): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${randomUUID()}`;
  const file = await open(draft, "w", 0o600);
  try {
    await file.writeFile(`${line}\n`);
    await file.sync();
    await link(draft, path);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  } finally {
    await file.close();
    await unlink(draft);
  }
}
