import { randomUUID } from "node:crypto";
import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";

/** A file that is written, and not yet where it is read. */
export interface Draft {
  /** Puts it in its place, whole and for good, in place of what is there. */
  commit(): Promise<void>;
  /** Forgets it. */
  discard(): Promise<void>;
}

/** What a file is to outlive. */
export interface Endurance {
  /** A power cut, too. It takes the disk's time. Default: true. */
  readonly synced?: boolean;
}

/** Puts a file that only this user can read in its place, whole or not at all. */
export async function replaceFile(path: string, content: string, endurance?: Endurance): Promise<void> {
  const draft = await draftFile(path, (file) => file.writeFile(content), endurance);
  await draft.commit();
}

/** Writes a file that only this user can read, beside the place where it is going to be. */
export async function draftFile(
  path: string,
  write: (file: FileHandle) => Promise<void>,
  { synced = true }: Endurance = {},
): Promise<Draft> {
  const draft = `${path}.${randomUUID()}`;
  const file = await open(draft, "wx", 0o600);
  try {
    await write(file);
    if (synced) await file.sync();
  } catch (error) {
    await unlink(draft);
    throw error;
  } finally {
    await file.close();
  }
  return {
    async commit() {
      try {
        await rename(draft, path);
      } catch (error) {
        await unlink(draft);
        throw error;
      }
      if (synced) await syncDirectory(dirname(path));
    },
    discard: () => unlink(draft),
  };
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
