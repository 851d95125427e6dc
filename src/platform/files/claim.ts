import { closeSync, openSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { isErrno } from "../errno.ts";

/** Another process uses the directory. The message names both. */
export class DirectoryInUse extends Error {
  override readonly name = "DirectoryInUse";
}

/** A directory cannot be claimed, though nobody else is known to use it. The message says why. */
class CannotClaim extends Error {
  override readonly name = "CannotClaim";
}

/** A directory that no other process uses meanwhile. */
export interface Claim {
  release(): Promise<void>;
}

/**
 * Claims a directory, which exists, for this process. The claim of a process that has ended, however that came about, is
 * void.
 *
 * It is a lock of the system on the file `lock`, which stays: of several processes that start at once one gets it, also
 * where they do not see each other, as in two containers, in which both may have the same pid. SQLite takes it, since
 * Node cannot. Who holds it is written beside it, for the one who is refused.
 *
 * @throws DirectoryInUse, or an error that names the directory and what is wrong with it
 */
export async function claimDirectory(directory: string): Promise<Claim> {
  const holder = join(directory, "in-use-by");
  const lock = lockFile(join(directory, "lock"));
  if (lock === undefined) {
    const pid = (await readFile(holder, "latin1").catch(() => "")).trim();
    const by = pid === "" ? "another process" : `process ${pid}`;
    throw new DirectoryInUse(`${directory} is in use by ${by}: end that, or name another data directory`);
  }
  // A disk that is full is no reason not to start.
  await writeFile(holder, `${process.pid}\n`, { mode: 0o600 }).catch(() => undefined);
  held.add(lock);
  return {
    async release() {
      if (!held.delete(lock)) return;
      await rm(holder, { force: true });
      lock.close();
    },
  };
}

/** What is held stays, whoever forgets the claim: a database that nobody refers to is closed. */
const held = new Set<DatabaseSync>();

/** Undefined: another process has it. */
function lockFile(path: string): DatabaseSync | undefined {
  let file: DatabaseSync | undefined;
  try {
    makeFile(path);
    file = new DatabaseSync(path);
    // Nothing is ever written to it: no journal is needed on disk, and no end of the transaction.
    file.exec("pragma journal_mode = memory; begin exclusive");
    return file;
  } catch (error) {
    file?.close();
    if (isBusy(error)) return undefined;
    throw new CannotClaim(`${path} cannot be locked: ${error instanceof Error ? error.message : error}`);
  }
}

/** For this user only. One that is there is not opened: closing it again would drop a lock that this process has on it. */
function makeFile(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
}

// https://sqlite.org/rescode.html
const busy = 5;

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === busy;
}
