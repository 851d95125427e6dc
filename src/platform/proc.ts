import { readFileSync, readlinkSync } from "node:fs";
import { isErrno } from "./errno.ts";

/** When the process was started, in ticks since boot: together with the pid it names one process for good. */
export function startTicks(pid: number): string {
  return statOf(pid).startTicks;
}

/** Whether the process that was started then still runs. One that has ended but was not waited for does not. */
export function isRunning(pid: number, startTicks: string): boolean {
  try {
    const stat = statOf(pid);
    return stat.startTicks === startTicks && stat.state !== "Z" && stat.state !== "X";
  } catch {
    return false; // there is no such process
  }
}

/** Sends a signal to the process that was started then, if it still runs; 0 sends none. Throws EPERM for another user's. */
export function signalProcess(pid: number, startTicks: string, signal: NodeJS.Signals | 0): void {
  if (!isRunning(pid, startTicks)) return;
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error; // it went away just now
  }
}

/** The absolute path of the program that a process runs. */
export function executableOf(pid: number): string {
  // One that was replaced on disk is the same program.
  return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, "");
}

/** Names this run of the operating system. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
}

function statOf(pid: number): { state: string; startTicks: string } {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The name of the program, in parentheses, may contain anything; the start is the 20th field after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, ticks] = [fields[0], fields[19]];
  if (state === undefined || ticks === undefined) throw new Error(`cannot read /proc/${pid}/stat`);
  return { state, startTicks: ticks };
}
