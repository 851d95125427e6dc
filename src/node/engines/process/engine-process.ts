import { spawn } from "node:child_process";
import { once } from "node:events";
import { Readable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { bootId, isRunning, signalProcess, startTicks } from "../../../platform/proc.ts";
import type { Incarnation } from "../engine.ts";
import { readLines } from "./lines.ts";
import { makeOutput, openOutput } from "./output.ts";

/** A process of an engine. */
export interface EngineProcess {
  readonly pid: number;
  /** See {@link startTicks}. */
  readonly startTicks: string;
  readonly incarnation: Incarnation;
  /** Resolves when the process is gone and all that it wrote was read. Never once it was left alone. */
  readonly ended: Promise<ProcessEnd>;
  /** What it wrote last, oldest first. */
  lastLines(): readonly string[];
  /** Sends it a signal, if it is still there. */
  signal(signal: NodeJS.Signals): void;
  /** Ends it with SIGTERM, and with SIGKILL when it still lives after that time. Resolves when it is gone. */
  terminate(graceMs: number): Promise<ProcessEnd>;
  /** Leaves it alone from now on: nobody waits for it or reads what it writes. Only for one with a named pipe. */
  leave(): void;
}

/** How a process ended. Both are null where another process than this one has started it. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What becomes of the lines of a process. */
export interface LineOptions {
  /** How many are remembered. */
  readonly keepLines: number;
  readonly onLine?: (line: string) => void;
}

/** What to start. */
export interface SpawnOptions extends LineOptions {
  readonly executable: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Its working directory. Default: that of the node. */
  readonly directory?: string;
  /** What it reads from its stdin. */
  readonly input?: Iterable<string>;
  /** The path of a named pipe for what it writes, with which it can outlive this process. */
  readonly output?: string | undefined;
}

/** Starts a process. Throws when the program cannot be run. */
export async function spawnProcess(options: SpawnOptions): Promise<EngineProcess> {
  const { executable, args, env, directory, input = [] } = options;
  const output = options.output === undefined ? undefined : await makeOutput(options.output);
  const written = output?.descriptor ?? "pipe";
  const child = spawn(executable, args, {
    stdio: ["pipe", written, written],
    env,
    cwd: directory,
    // Out of the terminal's reach: Ctrl-C is for the node, which then ends the engine.
    detached: true,
  });
  output?.handedOver();
  const { lines, keep } = rememberLines(options);
  const streams = [output?.lines, child.stdout, child.stderr].filter((stream) => stream instanceof Readable);
  for (const stream of streams) readLines(stream, keep);
  const exit = once(child, "exit").then(([code, signal]) => ({ code, signal }));
  const ended = Promise.all([exit, ...streams.map(untilOver)]).then(([end]) => end);
  ended.catch(() => undefined); // it was never there
  await once(child, "spawn").catch((error: unknown) => {
    output?.lines.destroy();
    throw error;
  });
  const pid = child.pid ?? 0;
  let ticks: string;
  try {
    ticks = startTicks(pid);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  // A process that ends before it has read everything says why on stdout.
  if (child.stdin !== null) pipeline(Readable.from(input), child.stdin).catch(() => undefined);
  const signal = (name: NodeJS.Signals) => void child.kill(name);
  return {
    ...identityOf(pid, ticks),
    ended,
    lastLines: () => lines,
    signal,
    terminate: (graceMs) => terminate(signal, ended, graceMs),
    leave() {
      output?.lines.destroy();
      child.unref();
    },
  };
}

/**
 * Takes over a process that an earlier process of this node has started and that runs, with the named pipe that it
 * writes to. What it wrote meanwhile is read, too, as much as the pipe had room for.
 */
export function adoptProcess(pid: number, startTicks: string, output: string, options: LineOptions): EngineProcess {
  const { lines, keep } = rememberLines(options);
  const stream = openOutput(output);
  readLines(stream, keep);
  const left = new AbortController();
  const { promise: ended, resolve } = Promise.withResolvers<ProcessEnd>();
  void untilGone(pid, startTicks, untilOver(stream), left.signal).then((gone) => {
    if (gone) resolve({ code: null, signal: null });
  });
  const signal = (name: NodeJS.Signals) => signalProcess(pid, startTicks, name);
  return {
    ...identityOf(pid, startTicks),
    ended,
    lastLines: () => lines,
    signal,
    terminate: (graceMs) => terminate(signal, ended, graceMs),
    leave() {
      left.abort();
      stream.destroy();
    },
  };
}

function identityOf(pid: number, startTicks: string): Pick<EngineProcess, "pid" | "startTicks" | "incarnation"> {
  return { pid, startTicks, incarnation: `${bootId()}/${pid}/${startTicks}` };
}

function rememberLines({ keepLines, onLine }: LineOptions): { lines: readonly string[]; keep: (line: string) => void } {
  const lines: string[] = [];
  const keep = (line: string) => {
    lines.push(line);
    if (lines.length > keepLines) lines.shift();
    onLine?.(line);
  };
  return { lines, keep };
}

async function terminate(
  kill: (signal: NodeJS.Signals) => void,
  ended: Promise<ProcessEnd>,
  graceMs: number,
): Promise<ProcessEnd> {
  kill("SIGTERM");
  const timer = setTimeout(() => kill("SIGKILL"), graceMs);
  const end = await ended;
  clearTimeout(timer);
  return end;
}

/** How often a process is looked at of which the system does not tell the end, and once it has closed its output. */
const lookMs = 1_000;
const closedLookMs = 5;

/** Resolves to true when the process is gone, to false when it is not to be waited for any more. */
async function untilGone(pid: number, ticks: string, closed: Promise<void>, left: AbortSignal): Promise<boolean> {
  let isClosed = false;
  const closing = closed.then(() => {
    isClosed = true;
  });
  while (!left.aborted && isRunning(pid, ticks)) {
    const look = new AbortController();
    const waiting = sleep(isClosed ? closedLookMs : lookMs, undefined, {
      signal: AbortSignal.any([left, look.signal]),
    });
    await Promise.race([waiting.catch(() => undefined), ...(isClosed ? [] : [closing])]);
    look.abort();
  }
  if (!left.aborted) await closed;
  return !left.aborted;
}

async function untilOver(stream: Readable): Promise<void> {
  await finished(stream).catch(() => undefined);
}
