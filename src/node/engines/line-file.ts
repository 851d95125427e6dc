import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { isErrno } from "../../platform/errno.ts";
import { makeDirectory } from "../../platform/files/make-directory.ts";

/** Options of {@link createLineFile}. */
export interface LineFileOptions {
  /** Absolute. Made when it is missing, for the eyes of this user only, and its directories with it. */
  path: string;
  /** Told once when the file cannot be written, and once when it can be again. */
  tell: (note: string) => void;
  /** How many bytes may wait to be written; lines beyond that are lost. Default: 8 MiB. */
  maxWaitingBytes?: number;
}

/** A file that lines are added to, behind the back of whoever writes them. */
export interface LineFile {
  /** Adds a line, given without its end. Returns at once and never throws. */
  write(line: string): void;
  /** Resolves when every line that was added is in the file, or is lost. */
  written(): Promise<void>;
}

/**
 * Makes a file that lines are added to. It is opened for each batch of lines, so one that was moved or removed
 * meanwhile is made anew. Lines that the file could not take are lost; it says how many where they are missing.
 */
export function createLineFile({ path, tell, maxWaitingBytes = 8 << 20 }: LineFileOptions): LineFile {
  let waiting: string[] = [];
  let waitingBytes = 0;
  /** Lines that are missing behind those that wait. */
  let lostBehind = 0;
  /** Lines that are missing since the file could be written last. */
  let lostBefore = 0;
  let failing = false;

  const writeBatch = async (lines: readonly string[], lost: number) => {
    try {
      await append(path, [...noteOf(lostBefore), ...lines, ...noteOf(lost)]);
      if (failing) tell(`[garrison] the log file ${path} is written again; ${countOf(lostBefore)} lost`);
      lostBefore = 0;
      failing = false;
    } catch (error) {
      lostBefore += lines.length + lost;
      if (!failing) tell(`[garrison] the log file ${path} cannot be written, and its lines are lost: ${error}`);
      failing = true;
    }
  };
  const writeAll = async () => {
    do {
      const batch = writeBatch(waiting, lostBehind);
      waiting = [];
      waitingBytes = 0;
      lostBehind = 0;
      await batch;
    } while (waiting.length > 0);
    writing = undefined;
  };
  // The first batch is empty: the file is there from the beginning, or it is known that it cannot be.
  let writing: Promise<void> | undefined = writeAll();

  return {
    write(line) {
      const bytes = Buffer.byteLength(line) + 1;
      if (lostBehind > 0 || waitingBytes + bytes > maxWaitingBytes) {
        lostBehind += 1;
        return;
      }
      waiting.push(line);
      waitingBytes += bytes;
      // Whatever else is said in this turn is part of the batch.
      writing ??= Promise.resolve().then(writeAll);
    },
    written: () => writing ?? Promise.resolve(),
  };
}

async function append(path: string, lines: readonly string[]): Promise<void> {
  const file = await openToAppend(path).catch(async (error: unknown) => {
    if (!isErrno(error, "ENOENT")) throw error;
    await makeDirectory(dirname(path));
    return openToAppend(path);
  });
  try {
    if (lines.length > 0) await file.appendFile(`${lines.join("\n")}\n`);
  } finally {
    await file.close();
  }
}

// A pipe that nobody reads must not hold one of the few threads that serve all files.
const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;

function openToAppend(path: string): Promise<FileHandle> {
  return open(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o600);
}

function noteOf(lost: number): string[] {
  return lost === 0 ? [] : [`[garrison] ${countOf(lost)} lost here`];
}

function countOf(lines: number): string {
  return lines === 1 ? "1 line was" : `${lines} lines were`;
}
