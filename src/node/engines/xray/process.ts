import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { EngineProgram, Incarnation } from "../engine.ts";
import { readLines } from "./lines.ts";
import { bootId, startTicks } from "./proc.ts";

/** The program and what surrounds it. */
export interface XrayProgram extends EngineProgram {
  /** The environment of the node, of which Xray gets what concerns it. */
  readonly env: NodeJS.ProcessEnv;
}

/** A process of Xray. */
export interface XrayProcess {
  readonly pid: number;
  /** See {@link startTicks}. */
  readonly startTicks: string;
  readonly incarnation: Incarnation;
  /** Resolves when the process is gone and all that it wrote was read. */
  readonly ended: Promise<ProcessEnd>;
  /** What it wrote last, oldest first. */
  lastLines(): readonly string[];
  /** Ends it with SIGTERM, and with SIGKILL when it still lives after that time. Resolves when it is gone. */
  terminate(graceMs: number): Promise<ProcessEnd>;
}

/** How a process ended. */
export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Starts `xray run` with the config on its stdin: the config holds secrets, and appears neither on disk nor among the
 * arguments. Throws when the program cannot be run.
 */
export async function spawnXray(
  { executable, assets, env }: XrayProgram,
  config: Iterable<string>,
  options: { test?: boolean; keepLines: number; onLine?: (line: string) => void },
): Promise<XrayProcess> {
  const args = ["run", ...(options.test ? ["-test"] : []), "-format", "json", "-c", "stdin:"];
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(executable, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...environmentOf(env), XRAY_LOCATION_ASSET: assets },
    // Out of the terminal's reach: Ctrl-C is for the node, which then ends Xray.
    detached: true,
  });
  const ended = new Promise<ProcessEnd>((resolve) => child.on("close", (code, signal) => resolve({ code, signal })));
  const recent: string[] = [];
  const keep = (line: string) => {
    recent.push(line);
    if (recent.length > options.keepLines) recent.shift();
    options.onLine?.(line);
  };
  readLines(child.stdout, keep);
  readLines(child.stderr, keep);
  await once(child, "spawn");
  const pid = child.pid ?? 0;
  let ticks: string;
  try {
    ticks = startTicks(pid);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  // A process that ends before it has read everything says why on stdout.
  pipeline(Readable.from(config), child.stdin).catch(() => undefined);
  return {
    pid,
    startTicks: ticks,
    incarnation: `${bootId()}/${pid}/${ticks}`,
    ended,
    lastLines: () => recent,
    async terminate(graceMs) {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
      const end = await ended;
      clearTimeout(timer);
      return end;
    },
  };
}

/**
 * The line that says why Xray did not run: a panic, or its "Failed to start". Undefined when it said neither.
 */
export function failureLine(lines: readonly string[]): string | undefined {
  return (
    lines.find((line) => /^(panic|fatal error|runtime): /.test(line)) ??
    lines.findLast((line) => /^failed to start/i.test(line))
  );
}

// Not the rest: it holds the node's own secrets; SSL_CERT_FILE, the node's certificate, would replace the authorities
// that Xray trusts; and a directory of configs would add to the one that the node gives.
const passedOn = /^(PATH|HOME|TZ|LANG|LC_.*|TMPDIR|GO[A-Z]+|XRAY_(?!LOCATION_CONF).*|xray\.(?!location\.conf).*)$/;

/** What Xray gets of the node's environment. */
export function environmentOf(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => passedOn.test(name)));
}
