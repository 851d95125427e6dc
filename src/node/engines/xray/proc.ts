import { readFileSync } from "node:fs";

/** When the process was started, in ticks since boot: together with the pid it names one process for good. */
export function startTicks(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The name of the program, in parentheses, may contain anything; the start is the 20th field after it.
  const ticks = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  if (ticks === undefined) throw new Error(`cannot read /proc/${pid}/stat`);
  return ticks;
}

/** Names this run of the operating system. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
}
