import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { PortInUse, StartFailed } from "../engine-error.ts";
import { watchOver } from "../process/death-watch.ts";
import type { EngineProcess } from "../process/engine-process.ts";
import { forgetProcess, recordProcess } from "../process/process-record.ts";
import { TelemtApi } from "./api.ts";
import { type InboundFiles, makeDirectory, type OnDisk, writeConfig } from "./files.ts";
import { spawnTelemt, type TelemtProgram } from "./process.ts";
import { type Endpoints, type RenderedConfig, type RenderedInbound, render } from "./render.ts";
import { whyUnsupported } from "./version.ts";

/** A telemt that serves its inbound. */
export interface RunningTelemt {
  /** Such as `3.4.25`. */
  readonly version: string;
  readonly process: EngineProcess;
  readonly api: TelemtApi;
  /** What its files hold now. */
  readonly written: RenderedConfig;
  /** What the files of an inbound are to hold for this process. */
  render(inbound: RenderedInbound): RenderedConfig;
  /** Writes the files anew. It takes a moment until telemt has read them: see {@link hasAdopted}. */
  write(config: RenderedConfig): Promise<void>;
  /** Whether it works by what was written last. Throws when it does not answer. */
  worksByIt(): Promise<boolean>;
  /** The same, and that nobody else has written to its main file. */
  hasAdopted(): Promise<boolean>;
  /** Ends the process; resolves when it is gone. */
  end(): Promise<void>;
}

/** What to run. */
export interface Launch {
  readonly program: TelemtProgram;
  readonly inbound: RenderedInbound;
  readonly files: InboundFiles;
  /** How many of the last lines are told when it does not come up. */
  readonly keepLines: number;
  /** After this time a telemt that does not serve is given up. */
  readonly timeoutMs: number;
  readonly onLine: (line: string) => void;
}

/**
 * Starts telemt and waits until it serves the inbound with all its users. Throws {@link StartFailed} with its own words
 * when it ends before that, is none that can be driven, does not serve in time or is not wanted any more; then it is
 * gone.
 */
export async function runTelemt(launch: Launch, signal: AbortSignal): Promise<RunningTelemt> {
  const { program, files, keepLines, onLine, timeoutMs } = launch;
  const endpoints = await chooseEndpoints();
  const renderFor = (inbound: RenderedInbound) => render(inbound, endpoints, { ipv6: hasIpv6() });
  let written = renderFor(launch.inbound);
  const onDisk: OnDisk = { main: undefined, access: undefined };
  try {
    await makeDirectory(files);
    await writeConfig(files, written, onDisk);
  } catch (error) {
    throw new StartFailed(`the config of telemt cannot be written: ${error}`);
  }
  const process = await spawnTelemt(program, {
    keepLines,
    onLine,
    directory: files.directory,
    configPath: files.main,
  }).catch((error) => {
    throw new StartFailed(`telemt cannot be run: ${error.message}`);
  });
  const watch = watchOver(process, onLine);
  const api = new TelemtApi(endpoints);
  const gone = process.ended.then(async () => {
    api.close();
    await watch.close();
  });
  const running = {
    process,
    api,
    render: renderFor,
    get written() {
      return written;
    },
    async write(config: RenderedConfig) {
      await writeConfig(files, config, onDisk);
      written = config;
    },
    async worksByIt() {
      return (await api.user(written.marker))?.inRuntime === true;
    },
    async hasAdopted() {
      return (await this.worksByIt()) && (await api.info()).configHash === written.mainHash;
    },
    async end() {
      await process.terminate(terminationGraceMs);
      await gone;
      await forgetProcess(files.record);
    },
  };
  const record = (version: string) =>
    recordProcess(files.record, process, { plan: launch.inbound.config.id, version }).catch((error: unknown) =>
      onLine(`[garrison] it cannot be noted which telemt runs: ${error}`),
    );
  try {
    await record("");
    const version = await untilServing(running, timeoutMs, signal);
    // What was started by a script is another program by now.
    await record(version);
    return Object.assign(running, { version });
  } catch (error) {
    await running.end();
    throw error;
  }
}

/** It ends open connections first. */
const terminationGraceMs = 10_000;
const probeIntervalMs = 20;

/** Resolves to the version. */
async function untilServing(
  running: Pick<RunningTelemt, "api" | "process" | "hasAdopted">,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string> {
  const { api, process } = running;
  const waiting = new AbortController();
  const unwanted = AbortSignal.any([signal, waiting.signal]);
  try {
    return await Promise.race([
      untilReady(waiting.signal),
      process.ended.then(({ code, signal }): never => {
        throw whyItEnded(process.lastLines(), `exit ${signal ?? code}`);
      }),
      sleep(timeoutMs, undefined, { signal: unwanted }).then(
        (): never => {
          throw new StartFailed(withLines(`telemt did not serve within ${timeoutMs} ms`, process.lastLines()));
        },
        (): never => {
          throw new StartFailed("stopped while telemt was starting");
        },
      ),
    ]);
  } finally {
    waiting.abort();
  }

  async function isReady(): Promise<boolean> {
    return Promise.all([api.isServing(), running.hasAdopted()]).then(
      (all) => all.every((each) => each),
      () => false,
    );
  }
  async function untilReady(done: AbortSignal): Promise<string> {
    while (!done.aborted) {
      // Before it answers, and while it makes itself ready, it refuses connections or says what it does not mean.
      const info = await api.info().catch(() => undefined);
      const unsupported = info && whyUnsupported(info.version);
      if (unsupported !== undefined) throw new StartFailed(unsupported);
      if (info !== undefined && (await isReady())) return info.version;
      await sleep(probeIntervalMs);
    }
    return "";
  }
}

async function chooseEndpoints(): Promise<Endpoints> {
  const [apiPort = 0, metricsPort = 0] = await freePorts(2);
  return { apiPort, metricsPort, authorization: randomBytes(32).toString("hex") };
}

/** Ports of 127.0.0.1 that nobody has. Another program may take one a moment later: then telemt is started anew. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((each) => each?.some(({ family }) => family === "IPv6"));
}

function whyItEnded(lines: readonly string[], how: string): StartFailed {
  const taken = lines.find((line) => /address already in use/i.test(line));
  if (taken !== undefined) return new PortInUse(`failed to start telemt: ${taken}`);
  return new StartFailed(withLines(`telemt ended before it served (${how})`, lines));
}

function withLines(text: string, lines: readonly string[]): string {
  return lines.length === 0 ? text : `${text}; it said: ${lines.join("\n")}`;
}
