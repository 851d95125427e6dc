import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { exitWrongUse } from "./command.ts";
import type { ReadyLine } from "./serve.ts";

/** Options of {@link createSupervisor}. */
export interface SupervisorOptions {
  services: readonly string[];
  /**
   * Starts the process of a service, with its stdout piped. It may wait for others to be ready first; `stopping` aborts
   * when it need not wait any more. When it rejects, all services end.
   */
  start: (service: string, stopping: AbortSignal) => ChildProcess | Promise<ChildProcess>;
  /** A service is ready, for the first time. */
  ready?: (line: ReadyLine) => void;
  /** Every service is ready, for the first time: their ready lines, in the order of `services`. */
  allReady: (lines: readonly ReadyLine[]) => void;
  log: (text: string) => void;
  /** How long a service waits that ended, the first time; doubled each time that it ends soon. Default: 500 ms. */
  backoffMs?: number;
  /** How long a service may take to end before it is killed. Default: 25 s. */
  killMs?: number;
}

/** Processes that are kept running. */
export interface Supervisor {
  /** Resolves when all have ended and none is started again: the exit code. */
  readonly ended: Promise<number>;
  /** Ends all, and what belongs to them. Asked again, it hands the request on again: services then end at once. */
  stop(): void;
}

const longestBackoffMs = 30_000;
// Who has lived that long did not end for what was wrong at the start.
const settledMs = 60_000;

/** Starts services and keeps each running. One whose settings are wrong ends all, since starting again does not help. */
export function createSupervisor(options: SupervisorOptions): Supervisor {
  const { log, killMs = 25_000 } = options;
  const stopping = new AbortController();
  const children = new Map<string, ChildProcess>();
  const lines = new Map<string, ReadyLine>();
  let exitCode = 0;

  const stop = () => {
    stopping.abort();
    for (const child of children.values()) child.kill("SIGTERM");
  };

  const isReady = (service: string, line: ReadyLine) => {
    if (lines.has(service)) return;
    lines.set(service, line);
    options.ready?.(line);
    if (lines.size < options.services.length) return;
    options.allReady(options.services.flatMap((name) => lines.get(name) ?? []));
  };

  const started = async (service: string): Promise<ChildProcess | undefined> => {
    try {
      return await options.start(service, stopping.signal);
    } catch (error) {
      if (stopping.signal.aborted) return undefined;
      log(`${service} cannot be started, so all services end: ${error instanceof Error ? error.message : error}`);
      exitCode = 1;
      stop();
      return undefined;
    }
  };

  const keep = async (service: string) => {
    let backoffMs = options.backoffMs ?? 500;
    while (!stopping.signal.aborted) {
      const child = await started(service);
      if (child === undefined) return;
      const startedAt = performance.now();
      children.set(service, child);
      if (stopping.signal.aborted) child.kill("SIGTERM"); // asked to stop while it was being started
      const { code, how } = await watch(child, (line) => isReady(service, line), stopping.signal, killMs);
      children.delete(service);
      if (stopping.signal.aborted) return;
      if (code === exitWrongUse) {
        log(`${service} refused to start, so all services end`);
        exitCode = exitWrongUse;
        return stop();
      }
      if (performance.now() - startedAt > settledMs) backoffMs = options.backoffMs ?? 500;
      log(`${service} ended (${how}) and is started again in ${backoffMs / 1_000} s`);
      await sleep(backoffMs, undefined, { signal: stopping.signal }).catch(() => undefined); // the loop sees that it ends
      backoffMs = Math.min(backoffMs * 2, longestBackoffMs);
    }
  };

  return { ended: Promise.all(options.services.map(keep)).then(() => exitCode), stop };
}

async function watch(
  child: ChildProcess,
  ready: (line: ReadyLine) => void,
  stopping: AbortSignal,
  killMs: number,
): Promise<{ code: number | null; how: string }> {
  if (child.stdout) {
    createInterface(child.stdout).on("line", (text) => {
      const line = readyLineOf(text);
      if (line !== undefined) ready(line);
    });
  }
  let killing: NodeJS.Timeout | undefined;
  const killLater = () => {
    killing = setTimeout(() => child.kill("SIGKILL"), killMs);
  };
  if (stopping.aborted) killLater();
  else stopping.addEventListener("abort", killLater, { once: true });
  try {
    return await new Promise((resolve) => {
      child.on("error", (error) => resolve({ code: null, how: error.message }));
      child.on("close", (code, signal) => resolve({ code, how: signal ?? `exit code ${code}` }));
    });
  } finally {
    stopping.removeEventListener("abort", killLater);
    clearTimeout(killing);
  }
}

/** The ready line; undefined for whatever else a service prints. */
function readyLineOf(text: string): ReadyLine | undefined {
  try {
    const line: { ready?: unknown } | null = JSON.parse(text);
    return line?.ready === true ? (line as ReadyLine) : undefined;
  } catch {
    return undefined;
  }
}
