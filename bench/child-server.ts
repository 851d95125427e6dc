import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A server in a process of its own. */
export interface ChildServer {
  readonly port: number;
  readonly pid: number;
  /** Tells the script something. */
  send(message: string): void;
  close(): Promise<void>;
}

/** The processor that servers run on; the load runs on the other. */
const serverCore = 0;
/** The processor that the load runs on. */
export const loadCore = 1;

/** Moves this process, with all its threads, to the processor that the load runs on. */
export function moveToLoadCore(): void {
  execFileSync("taskset", ["-acp", String(loadCore), String(process.pid)], { stdio: "ignore" });
}

/**
 * Keeps the processor that the load runs on from sleeping, without taking time from the load. A server that writes to a
 * sleeping processor pays for waking it, the more often the longer the load waits: that would make the slower of two
 * servers look slower still.
 */
export function keepLoadCoreAwake(): { close(): void } {
  const spinning = ["-i", "0", process.execPath, "-e", "for (;;);"];
  const spinner = spawn("taskset", ["-c", String(loadCore), "chrt", ...spinning], { stdio: "ignore" });
  return { close: () => void spinner.kill("SIGKILL") };
}

/**
 * Starts a server script on one processor, or with its first thread there and all others where there is room. It says on
 * its first line which port of 127.0.0.1 it listens on, and leaves on SIGTERM.
 */
export async function startServer(
  script: string,
  args: readonly string[] = [],
  cores: "one" | "both" = "one",
): Promise<ChildServer> {
  const where = cores === "both" ? `${serverCore},${loadCore}` : String(serverCore);
  const child = spawn("taskset", ["-c", where, process.execPath, script, ...args], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
  });
  if (child.stdout === null) throw new Error(`${script} says nothing`);
  const exited = once(child, "exit");
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const [line] = await Promise.race([
    once(createInterface(child.stdout), "line"),
    exited.then(() => Promise.reject(new Error(`${script} did not start`))),
  ]);
  // Its other threads stay where they may be.
  if (cores === "both") execFileSync("taskset", ["-cp", String(serverCore), String(child.pid)], { stdio: "ignore" });
  return {
    port: Number(line),
    pid: child.pid ?? 0,
    send: (message) => void child.send(message),
    async close() {
      child.kill("SIGTERM");
      await exited;
      process.off("exit", kill);
    },
  };
}
