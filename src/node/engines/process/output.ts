import { execFile } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { rm } from "node:fs/promises";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import { promisify } from "node:util";

/** A named pipe for what a process says, and its end for that process. */
export interface Output {
  readonly lines: Readable;
  /** A file descriptor to be handed to the process. */
  readonly descriptor: number;
  /** To be called when the process has the descriptor. */
  handedOver(): void;
}

/**
 * Makes a named pipe. The process that has its end is never told that nobody reads: it can write as long as the pipe has
 * room, 64 KiB, and Xray leaves out the lines for which there is none. The pipe ends when the process does.
 */
export async function makeOutput(path: string): Promise<Output> {
  await rm(path, { force: true });
  await promisify(execFile)("mkfifo", ["-m", "600", path]);
  const lines = openOutput(path);
  // For reading, too: so that there is always somebody who could read.
  const descriptor = openSync(path, constants.O_RDWR);
  return { lines, descriptor, handedOver: () => closeSync(descriptor) };
}

/** Reads on from a named pipe. */
export function openOutput(path: string): Readable {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}
