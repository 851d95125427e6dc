import { flushCompileCache } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import type { Surroundings } from "./command.ts";
import { giveBackMemoryWhenQuiet } from "./give-back-memory.ts";

/** A service that runs. */
export interface Running {
  /** Where it listens: scheme, address and port. */
  readonly url: string;
  /** SHA-256 of its certificate; null without TLS. */
  readonly fingerprint: string | null;
  /** Resolves when it wants to be ended, and started again. */
  readonly restartWanted?: Promise<void>;
  /** Ends it and everything that belongs to it. */
  close(): Promise<void>;
}

/** What a service prints on stdout when it is ready: one line of JSON. */
export interface ReadyLine {
  readonly ready: true;
  readonly service: string;
  /** An address that it can be called at from this machine. */
  readonly url: string;
  readonly fingerprint: string | null;
}

// A service ends its streams and calls within 10 s, its engines some seconds later.
const closeMs = 20_000;
// One that starts is seldom worth waiting for: it may be waiting itself, for a database that does not come. Less than the
// 10 s after which Docker kills.
const startMs = 8_000;
/** The exit code of a service that wants to be started again. */
const exitRestart = 75;
// Ctrl-C reaches the service twice where its parent hands signals on.
const sameRequestMs = 500;

/**
 * Runs a service in the foreground until SIGTERM, SIGINT, or the end of the process that supervises it; a second signal
 * ends it at once, and one that does not come to the end of its start is not waited for. Prints the ready line, and calls
 * `ready` after it.
 *
 * @returns the exit code
 */
export async function serve(
  service: string,
  start: () => Promise<Running>,
  { stdout, stderr }: Surroundings,
  ready: (line: ReadyLine) => void = () => undefined,
): Promise<number> {
  const stop = stopRequest();
  const running = await Promise.race([start(), stop.first.then(() => sleep(startMs, undefined, { ref: false }))]);
  if (running === undefined) {
    stderr.write(`garrison ${service}: ended while it was starting\n`);
    return 1;
  }
  if (!stop.requested()) {
    const line: ReadyLine = { ready: true, service, url: reachable(running.url), fingerprint: running.fingerprint };
    stdout.write(`${JSON.stringify(line)}\n`);
    ready(line);
    // Not only at the end: a service may be killed.
    flushCompileCache();
  }
  const keepMemory = giveBackMemoryWhenQuiet();
  const restarts = await Promise.race([stop.first.then(() => false), running.restartWanted?.then(() => true) ?? never]);
  keepMemory();
  const closed = running.close().then(() => 0);
  const code = await Promise.race([closed, sleep(closeMs, 1, { ref: false })]);
  if (code !== 0) stderr.write(`garrison ${service}: not closed after ${closeMs / 1_000} s, so it is ended\n`);
  return restarts && !stop.requested() ? startAgain() : code;
}

const never = new Promise<never>(() => undefined);

/**
 * Becomes a new process with the same command line, under the same pid: whatever supervises it, or nobody at all, it runs
 * on with the code and the settings as they are now. Only `garrison up` is left to start it again, since a new process
 * would not notice the end of that one.
 */
function startAgain(): number {
  if (process.connected || process.execve === undefined) return exitRestart;
  return process.execve(
    process.execPath,
    [process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    process.env,
  );
}

interface StopRequest {
  readonly first: Promise<void>;
  requested(): boolean;
}

function stopRequest(): StopRequest {
  const { promise, resolve } = Promise.withResolvers<void>();
  let requestedAt: number | undefined;
  const request = () => {
    requestedAt ??= performance.now();
    resolve();
  };
  const signalled = () => {
    if (requestedAt !== undefined && performance.now() - requestedAt > sameRequestMs) process.exit(1);
    request();
  };
  // `disconnect`: under `garrison up`, the supervisor is gone.
  process.on("SIGTERM", signalled).on("SIGINT", signalled).once("disconnect", request);
  return { first: promise, requested: () => requestedAt !== undefined };
}

/** Who listens on every address can be called at the loopback one, and that is in the certificate. */
function reachable(url: string): string {
  return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
}
