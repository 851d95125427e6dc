import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { StatsService } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import { ConfigRefused, StartFailed } from "../engine-error.ts";
import { watchOver } from "../process/death-watch.ts";
import { adoptProcess, type EngineProcess } from "../process/engine-process.ts";
import { type ProcessRecord, recordProcess } from "../process/process-record.ts";
import { XrayApi } from "./api.ts";
import { failureLine, spawnXray, type XrayProgram } from "./process.ts";
import { removeStaleSockets } from "./sockets.ts";
import { createCounterReader, type ReadCounters } from "./traffic.ts";

/** An Xray that answers. */
export interface RunningXray {
  /** Such as `26.3.27`. */
  readonly version: string;
  readonly process: EngineProcess;
  readonly api: XrayApi;
  readonly readCounters: ReadCounters;
  /** From now on it has these unix sockets open, which are free then if nobody listens there. */
  openSockets(paths: readonly string[]): Promise<void>;
  /** Ends the process; resolves when it is gone. */
  end(): Promise<void>;
  /** Leaves the process alone: it runs on, for whoever comes after this one. */
  leave(): void;
}

/** What to run. */
export interface Launch {
  readonly program: XrayProgram;
  /** The document for Xray, in pieces. */
  readonly config: Iterable<string>;
  /** The unix sockets that it opens. */
  readonly sockets: readonly string[];
  readonly apiSocket: string;
  /** Told every call of its API, by the method. */
  readonly onCall?: ((method: string) => void) | undefined;
  /** Where it is noted which process runs, and for which plan. */
  readonly record: string;
  readonly plan: string;
  /** The named pipe for what it writes, which lets it outlive this process; undefined: it dies with this one. */
  readonly output: string | undefined;
  /** How many of the last lines are told when it does not come up. */
  readonly keepLines: number;
  /** After this time an Xray that does not answer is given up. */
  readonly timeoutMs: number;
  readonly onLine: (line: string) => void;
}

/**
 * Starts Xray and waits until its API answers, which is when all its inbounds listen. Throws {@link StartFailed} with
 * its own words when it ends before that, does not answer in time or is not wanted any more; then it is gone.
 */
export async function runXray(launch: Launch, signal: AbortSignal): Promise<RunningXray> {
  await takeSockets(launch);
  let version = "";
  const onLine = (line: string) => {
    version ||= /^Xray (\d+\.\d+\.\d+)/.exec(line)?.[1] ?? "";
    launch.onLine(line);
  };
  const { keepLines, output } = launch;
  const process = await spawnXray(launch.program, launch.config, { keepLines, onLine, output }).catch((error) => {
    throw new StartFailed(`xray executable cannot be run: ${error.message}`);
  });
  const watch = watchOver(process, onLine);
  const record = () => recordProcess(launch.record, process, { plan: launch.plan, version });
  const recorded = record().then(
    () => true,
    (error: unknown) => {
      onLine(`[garrison] it cannot be noted which xray runs, it ends with the node: ${error}`);
      return false;
    },
  );
  const api = new XrayApi(launch.apiSocket, launch.onCall);
  const running = hold(launch, process, api, () => watch.close());
  try {
    await untilAnswers(running, launch.timeoutMs, signal);
    // It is the first thing that Xray says.
    if (version === "") throw new StartFailed("could not parse Xray version");
    if (await recorded) {
      // What was started by a script is another program by now.
      await record();
      if (output !== undefined) await watch.close();
    }
    return { ...running, version };
  } catch (error) {
    await running.end();
    throw error;
  }
}

/**
 * Takes over the Xray that an earlier process of this node has left, with its named pipe. Throws {@link StartFailed} when
 * it does not answer within the time of the launch; then it is gone, unless the signal says {@link leaving}.
 */
export async function takeOverXray(
  { pid, startTicks, version }: ProcessRecord,
  launch: Omit<Launch, "output"> & { readonly output: string },
  signal: AbortSignal,
): Promise<RunningXray> {
  const process = adoptProcess(pid, startTicks, launch.output, launch);
  const running = hold(launch, process, new XrayApi(launch.apiSocket, launch.onCall), async () => undefined);
  try {
    await untilAnswers(running, launch.timeoutMs, signal);
    return { ...running, version };
  } catch (error) {
    if (signal.reason === leaving) running.leave();
    else await running.end();
    throw error;
  }
}

/** Why a signal is aborted when this process ends, and the next one is to find what runs. */
export const leaving = Symbol("leaving");

/** A process with what belongs to it, which is cleared away when it ends. */
function hold(
  launch: Launch,
  process: EngineProcess,
  api: XrayApi,
  closeWatch: () => Promise<void>,
): Omit<RunningXray, "version"> {
  const sockets = new Set(launch.sockets);
  const gone = process.ended.then(async () => {
    api.close();
    await closeWatch();
    await removeStaleSockets([...sockets]);
  });
  return {
    process,
    api,
    readCounters: createCounterReader(api),
    async openSockets(paths) {
      for (const path of paths) sockets.add(path);
      await removeStaleSockets(paths);
    },
    async end() {
      await process.terminate(terminationGraceMs);
      await gone;
    },
    leave() {
      api.close();
      process.leave();
    },
  };
}

async function untilAnswers(
  { api, process }: Pick<RunningXray, "api" | "process">,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const waiting = new AbortController();
  try {
    await Promise.race([
      // Its API may answer a moment before Xray finds that something else cannot be started, and ends.
      untilReady(api, waiting.signal).then(() => sleep(settleMs)),
      process.ended.then(({ code, signal }) => {
        throw new StartFailed(whyItEnded(process.lastLines(), `exit ${signal ?? code}`));
      }),
      sleep(timeoutMs, undefined, { signal: waiting.signal }).then(() => {
        throw new StartFailed(withLines(`xray did not answer within ${timeoutMs} ms`, process.lastLines()));
      }),
      aborted(signal, waiting.signal),
    ]);
  } finally {
    waiting.abort();
  }
}

/** Has Xray read a config without running it. Throws {@link ConfigRefused} with its own words. */
export async function testConfig({
  program,
  config,
  keepLines,
  timeoutMs,
}: Pick<Launch, "program" | "config" | "keepLines" | "timeoutMs">): Promise<void> {
  const process = await spawnXray(program, config, { keepLines, test: true }).catch((error) => {
    throw new ConfigRefused(`xray executable cannot be run: ${error.message}`);
  });
  const timer = setTimeout(() => void process.terminate(terminationGraceMs), timeoutMs);
  const { code, signal } = await process.ended;
  clearTimeout(timer);
  if (code !== 0) throw new ConfigRefused(whyItEnded(process.lastLines(), `exit ${signal ?? code}`));
}

/** Removes what an earlier Xray has left. One that was killed a moment ago may still hold its socket. */
async function takeSockets({ sockets, apiSocket }: Launch): Promise<void> {
  const deadlineMs = performance.now() + socketGraceMs;
  await removeStaleSockets(sockets);
  while (existsSync(apiSocket)) {
    if (performance.now() > deadlineMs) throw new StartFailed(`${apiSocket} is in use: another node runs there`);
    await sleep(probeIntervalMs);
    await removeStaleSockets(sockets);
  }
}

/** A process that is killed is gone within milliseconds, on a busy machine within tenths of a second. */
const socketGraceMs = 1_000;
/** Xray ends within milliseconds of SIGTERM; one that hangs is killed. */
export const terminationGraceMs = 5_000;
const settleMs = 10;
/** How often a starting Xray is asked whether it answers. */
const probeIntervalMs = 20;

async function untilReady(api: XrayApi, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await api.call(StatsService.method.getSysStats, {}, 1_000);
      return;
    } catch {
      await sleep(probeIntervalMs);
    }
  }
}

function aborted(signal: AbortSignal, done: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const abort = () => reject(new StartFailed("stopped while xray was starting"));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { signal: done });
  });
}

function whyItEnded(lines: readonly string[], how: string): string {
  const line = failureLine(lines);
  if (line !== undefined) return `failed to start xray: ${line}`;
  return withLines(`xray process stopped before API became ready (${how})`, lines);
}

function withLines(text: string, lines: readonly string[]): string {
  return lines.length === 0 ? text : `${text}; recent xray logs: ${lines.join("\n")}`;
}
