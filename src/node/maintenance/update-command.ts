import { spawn } from "node:child_process";
import { open, readFile } from "node:fs/promises";
import type { Env } from "../../platform/config/variables.ts";
import type { CommandLine } from "./maintenance-variables.ts";
import { NodeUpdateFailed } from "./situations.ts";

/** Options of {@link runUpdateCommand}. */
export interface UpdateCommandOptions {
  /** No shell sees it. */
  command: CommandLine;
  env: Env;
  /** What the program says is kept here. */
  logFile: string;
  /** Aborts when the node goes down. The program goes on. */
  signal: AbortSignal;
  /** After this time it is killed, with what it has started. Default: 15 min. */
  timeoutMs?: number;
}

/**
 * Runs the program that updates the node, in a session of its own and with its output in a file: it may well restart
 * the node, and must not end with it.
 *
 * @returns whether it has ended; false when the node goes down first
 * @throws NodeUpdateFailed with the last that it said
 */
export async function runUpdateCommand(options: UpdateCommandOptions): Promise<boolean> {
  const { command, env, logFile, signal, timeoutMs = 15 * 60_000 } = options;
  signal.throwIfAborted();
  const [program, ...args] = command;
  const log = await open(logFile, "w", 0o600);
  const child = spawn(program, args, {
    env: withoutSecrets(env),
    stdio: ["ignore", log.fd, log.fd],
    detached: true,
  });
  child.unref();
  const leave = Promise.withResolvers<"left">();
  const onAbort = () => leave.resolve("left");
  signal.addEventListener("abort", onAbort, { once: true });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    if (child.pid !== undefined) killSession(child.pid);
  }, timeoutMs);
  const ended = new Promise<string | number>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("exit", (code, ending) => resolve(ending ?? code ?? 0));
  });
  try {
    const end = await Promise.race([ended, leave.promise]);
    if (end === "left") return false;
    if (end === 0) return true;
    const how = timedOut
      ? `not finished after ${timeoutMs / 1_000} s`
      : typeof end === "number"
        ? `exit code ${end}`
        : end;
    const said = lastLines(await readFile(logFile, "utf8"));
    throw new NodeUpdateFailed(`update failed on server: ${[how, said].filter((text) => text !== "").join(": ")}`);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    await log.close();
  }
}

function killSession(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // it has just ended
  }
}

const longestQuote = 600;

function lastLines(text: string): string {
  return text.trimEnd().split("\n").slice(-5).join("\n").slice(-longestQuote).trim();
}

// The node's own secrets; and its certificate, which curl and git would take for the authorities to trust.
const ownVariables = ["API_KEY", "METRICS_TOKEN", "SSL_CERT_FILE", "SSL_KEY_FILE"];

function withoutSecrets(env: Env): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !ownVariables.includes(name)));
}
