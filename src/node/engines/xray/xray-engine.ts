import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  type BackendStatsResponse,
  BackendStatsResponseSchema,
  type Latency,
  type User,
} from "../../../../gen/service/node_pb.ts";
import { StatsService } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import type {
  Engine,
  EngineEvents,
  EngineProgram,
  EngineState,
  OnlineAddresses,
  RejectedUser,
  StartRequest,
  TrafficKind,
  TrafficReading,
  UsersOutcome,
} from "../engine.ts";
import { EngineNotRunning, EngineUnreachable, StartFailed } from "../engine-error.ts";
import type { EngineRouting } from "../routing.ts";
import type { XrayApi } from "./api.ts";
import { applyChanges } from "./apply.ts";
import { applyInBulk } from "./bulk-change.ts";
import { type ClientsOf, readXrayConfig, type XrayConfig } from "./config.ts";
import { type HealthPace, usualHealthPace, watchHealth } from "./health-watch.ts";
import { readLatencies } from "./latency.ts";
import { prepareLiveChange } from "./live-change.ts";
import { createLogFiles, type LogFiles, type LogPaths } from "./log-files.ts";
import { readOnline } from "./online.ts";
import type { Plan } from "./plan.ts";
import type { ProcessEnd, XrayProgram } from "./process.ts";
import { createRestartPace } from "./restart-pace.ts";
import { createXrayRouting, restoreOverrides } from "./routing.ts";
import { type Launch, type RunningXray, runXray, testConfig } from "./running.ts";
import { StepFailed } from "./structure.ts";
import { readCounters } from "./traffic.ts";
import { UserTable } from "./users.ts";
import type { AccountChange } from "./users-diff.ts";

/** Options of {@link createXrayEngine}. */
export interface XrayEngineOptions extends XrayProgram {
  /** The directory of the API's socket: made, and closed to other users. Two engines may not share it. */
  readonly runDir: string;
  readonly events: EngineEvents;
  /** Told every document that Xray is about to run. It holds the users' secrets. Must not throw. */
  readonly onConfig?: ((document: string) => void) | undefined;
  /** How many of Xray's last lines are told when it does not come up. Default: 200. */
  readonly startupLogLines?: number;
  /** After this time an Xray that does not answer is given up. Default: 60 s. */
  readonly startTimeoutMs?: number;
  /** When an Xray that ran but does not answer any more is killed, to be started again. */
  readonly health?: HealthPace;
}

/** Makes an engine that runs Xray; nothing runs before its first start. */
export function createXrayEngine(options: XrayEngineOptions): Engine {
  const apiSocket = join(options.runDir, "xray-api.sock");
  if (Buffer.byteLength(apiSocket) > longestSocketPath) {
    throw new Error(`${apiSocket} is too long for a unix socket: at most ${longestSocketPath} bytes`);
  }
  return new XrayEngine(options, apiSocket);
}

// The kernel's limit is 108 with the closing zero.
const longestSocketPath = 107;

class XrayEngine implements Engine {
  readonly #options: XrayEngineOptions;
  readonly #apiSocket: string;
  readonly #logFiles: LogFiles;
  // What is started from now on; what runs may be another one.
  #program: XrayProgram;
  #pace = createRestartPace(() => performance.now());
  #state: EngineState = "stopped";
  #version = "";
  #plan: Plan | undefined;
  #running: RunningXray | undefined;
  #restart: NodeJS.Timeout | undefined;
  // Whatever changes the engine waits for what came before.
  #last: Promise<unknown> = Promise.resolve();
  // A stop need not wait for what it makes vain: it aborts this, and there is a new one when the last stop is done.
  #unwanted = new AbortController();
  #stopsWaiting = 0;

  readonly routing: EngineRouting = createXrayRouting({
    running: () => this.#requirePlan(),
    inTurn: (work) => this.#inTurn(work),
    settled: (config) => {
      if (this.#plan === undefined) return;
      this.#plan = { ...this.#plan, config: { ...config, logPaths: this.#plan.config.logPaths } };
    },
  });

  constructor(options: XrayEngineOptions, apiSocket: string) {
    this.#options = options;
    this.#program = options;
    this.#apiSocket = apiSocket;
    this.#logFiles = createLogFiles((note) => options.events.line(note));
  }

  get state(): EngineState {
    return this.#state;
  }

  get version(): string {
    return this.#version;
  }

  start({ config: text, users, excludeInbounds }: StartRequest): Promise<UsersOutcome> {
    return this.#inTurn(async () => {
      if (this.#plan === undefined) this.#enter("starting");
      try {
        const config = readXrayConfig(text, { excludeInbounds, apiSocket: this.#apiSocket });
        if (this.#running !== undefined && this.#plan?.config.fingerprint === config.fingerprint) {
          this.#logTo(config.logPaths);
          return await this.#sync(users, true);
        }
        const adopted = await this.#changeLive(config, users);
        if (adopted !== undefined) return adopted;
        const table = new UserTable(config.inbounds);
        const { changes, skipped, rejected } = await table.diff(users, true);
        await table.settle(changes);
        await this.#replace({ program: this.#program, config, table });
        return { skipped, rejected };
      } catch (error) {
        if (this.#plan === undefined) this.#enter("stopped");
        throw error;
      }
    });
  }

  stop(): Promise<void> {
    this.#unwanted.abort();
    this.#stopsWaiting += 1;
    return this.#inTurn(async () => {
      this.#stopsWaiting -= 1;
      clearTimeout(this.#restart);
      this.#plan = undefined;
      this.#enter("stopped");
      await this.#end();
      await this.#logFiles.release();
      if (this.#stopsWaiting === 0) this.#unwanted = new AbortController();
    });
  }

  close(): Promise<void> {
    return this.stop();
  }

  async updateUsers(users: readonly User[]): Promise<UsersOutcome> {
    this.#requireRunning();
    return this.#inTurn(() => this.#sync(users, false));
  }

  async replaceUsers(users: readonly User[]): Promise<UsersOutcome> {
    this.#requireRunning();
    return this.#inTurn(() => this.#sync(users, true));
  }

  knows(kind: TrafficKind, name: string): boolean {
    if (this.#plan === undefined) return false;
    const { config, table } = this.#plan;
    if (kind === "user") return table.has(name);
    return (kind === "inbound" ? config.inboundTags : config.outboundTags).has(name);
  }

  async readTraffic(kind?: TrafficKind): Promise<TrafficReading> {
    const running = this.#requireRunning();
    const reading = await readTraffic(running, kind, 30_000);
    // The last look was on its way together with this one: it holds these bytes, and may have been taken before.
    if (this.#running !== running) throw new EngineNotRunning("core is not started yet");
    return reading;
  }

  async sysStats(): Promise<BackendStatsResponse> {
    const { api } = this.#requireRunning();
    const { $typeName: _, ...measures } = await api.call(StatsService.method.getSysStats, {}, 3_000);
    return create(BackendStatsResponseSchema, measures);
  }

  async online(email: string): Promise<OnlineAddresses | undefined> {
    return readOnline(this.#requireRunning().api, email);
  }

  async latencies(): Promise<Latency[] | undefined> {
    const { api } = this.#requireRunning();
    return this.#plan && readLatencies(api, this.#plan.config);
  }

  tryProgram(program: EngineProgram): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#plan !== undefined) await testConfig(this.#launchOf(withProgram(this.#plan, program)));
    });
  }

  useProgram(program: EngineProgram, { restart }: { restart: boolean }): Promise<boolean> {
    return this.#inTurn(async () => {
      const plan = restart ? this.#plan : undefined;
      if (plan !== undefined) await this.#replace(withProgram(plan, program));
      this.#program = { ...this.#program, ...program };
      return plan !== undefined;
    });
  }

  #requirePlan(): { api: XrayApi; plan: Plan } {
    const { api } = this.#requireRunning();
    if (this.#plan === undefined) throw new EngineNotRunning("core is not started yet");
    return { api, plan: this.#plan };
  }

  #requireRunning(): RunningXray {
    if (this.#running === undefined || this.#state !== "running") throw new EngineNotRunning("core is not started yet");
    return this.#running;
  }

  async #sync(users: readonly User[], replace: boolean): Promise<UsersOutcome> {
    const { changes, skipped, rejected } = await this.#requirePlan().plan.table.diff(users, replace);
    return { skipped, rejected: [...rejected, ...(await this.#apply(changes))] };
  }

  /** Applies changes to the users of the plan in force; returns whom Xray refused. */
  async #apply(changes: readonly AccountChange[]): Promise<RejectedUser[]> {
    const running = this.#requireRunning();
    const { api, plan } = this.#requirePlan();
    const rest = await applyInBulk(api, plan, changes, this.#startTimeoutMs).catch(async (error) => {
      await this.#startAgain(running);
      throw error instanceof StepFailed ? new EngineUnreachable(error.message) : error;
    });
    return applyChanges(api, plan.table, rest, this.#unwanted.signal);
  }

  /** Changes what runs into this config, where Xray can without a restart; else undefined, and nothing was touched. */
  async #changeLive(config: XrayConfig, users: readonly User[]): Promise<UsersOutcome | undefined> {
    const running = this.#running;
    if (running === undefined || this.#plan === undefined) return undefined;
    const change = await prepareLiveChange(this.#plan, config, users, {
      test: (plan, clientsOf) => testConfig(this.#launchOf(plan, clientsOf)),
      timeoutMs: this.#startTimeoutMs,
    });
    // It may have gone away meanwhile.
    if (change === undefined || this.#running !== running) return undefined;
    if (this.#unwanted.signal.aborted) throw new StartFailed("stopped while the config was being changed");
    await running.openSockets(config.sockets);
    try {
      await change.take(running.api);
    } catch (error) {
      if (!(error instanceof StepFailed && error.restored)) await this.#startAgain(running);
      // Balancers that came back choose by themselves.
      else await restoreOverrides(running.api, this.#plan.config.routing).catch(() => undefined);
      throw new StartFailed(`failed to start xray: ${error instanceof Error ? error.message : error}`);
    }
    this.#plan = change.plan;
    this.#logFiles.use(config.logPaths);
    this.#options.onConfig?.([...this.#launchOf(change.plan).config].join(""));
    const { skipped, rejected } = change.outcome;
    return { skipped, rejected: [...rejected, ...(await this.#apply(change.changes))] };
  }

  /** Starts the plan in force again, unless Xray went away by itself, and comes back anyway. */
  async #startAgain(running: RunningXray): Promise<void> {
    if (this.#running !== running) return;
    this.#enter("restarting");
    await this.#end();
    await this.#bringBack();
  }

  get #startTimeoutMs(): number {
    return this.#options.startTimeoutMs ?? 60_000;
  }

  /** Runs a plan instead of the one before, which comes back when the new one does not run. */
  async #replace(plan: Plan): Promise<void> {
    if (this.#running !== undefined) await testConfig(this.#launchOf(plan));
    clearTimeout(this.#restart);
    if (this.#plan !== undefined) this.#enter("restarting");
    await this.#end();
    try {
      await this.#bringUp(plan);
      this.#pace = createRestartPace(() => performance.now());
    } catch (error) {
      await this.#bringBack();
      throw error;
    }
  }

  async #bringUp(plan: Plan): Promise<void> {
    this.#logFiles.use(plan.config.logPaths);
    await this.#prepareRunDir();
    this.#options.onConfig?.([...this.#launchOf(plan).config].join(""));
    const running = await runXray(this.#launchOf(plan), this.#unwanted.signal);
    // One that went away meanwhile comes back, and is told again.
    await restoreOverrides(running.api, plan.config.routing).catch(() => undefined);
    plan.table.started();
    this.#plan = plan;
    this.#version = running.version;
    this.#running = running;
    this.#enter("running");
    void running.process.ended.then((end) => this.#onEnded(running, end));
    watchHealth(running, this.#options.health ?? usualHealthPace, () => {
      if (this.#running !== running) return; // it is being ended
      this.#options.events.line("[garrison] xray does not answer any more: it is killed, and started again");
      void running.process.terminate(0);
    });
  }

  async #prepareRunDir(): Promise<void> {
    try {
      await mkdir(this.#options.runDir, { recursive: true, mode: 0o700 });
      await chmod(this.#options.runDir, 0o700);
    } catch (error) {
      throw new StartFailed(`the directory for xray's socket cannot be made: ${error}`);
    }
  }

  /** Runs the plan again that was in force, if any; when that fails, again and again. */
  async #bringBack(): Promise<boolean> {
    if (this.#plan === undefined || this.#running !== undefined || this.#unwanted.signal.aborted) return false;
    try {
      await this.#bringUp(this.#plan);
      return true;
    } catch (error) {
      if (this.#unwanted.signal.aborted) return false;
      const delayMs = this.#pace.afterFailure();
      this.#options.events.line(`xray did not come back, again in ${delayMs / 1000} s: ${error}`);
      this.#bringBackIn(delayMs);
      return false;
    }
  }

  #bringBackIn(delayMs: number): void {
    clearTimeout(this.#restart);
    this.#restart = setTimeout(() => {
      void this.#inTurn(async () => {
        if ((await this.#bringBack()) && this.#running !== undefined) {
          this.#options.events.restarted(this.#running.process.incarnation);
        }
      });
    }, delayMs);
  }

  #onEnded(running: RunningXray, end: ProcessEnd): void {
    // Ended on purpose.
    if (this.#running !== running) return;
    this.#running = undefined;
    const restartInMs = this.#pace.afterExit();
    this.#enter("restarting");
    const { incarnation, lastLines } = running.process;
    this.#options.events.exited({ ...end, incarnation, lastLines: lastLines().slice(-10), restartInMs });
    this.#bringBackIn(restartInMs);
  }

  /** Ends the running process, if any, after a last look at its counters. */
  async #end(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    this.#running = undefined;
    // One that does not answer any more takes what it counted with it.
    const reading = await readTraffic(running, undefined, 3_000).catch(() => undefined);
    if (reading !== undefined) this.#options.events.drained(reading);
    await running.end();
  }

  #launchOf({ program, config, table }: Plan, clientsOf: ClientsOf = (inbound) => table.clientsOf(inbound)): Launch {
    return {
      program,
      config: config.render(clientsOf),
      sockets: config.sockets,
      apiSocket: this.#apiSocket,
      keepLines: this.#options.startupLogLines ?? 200,
      timeoutMs: this.#startTimeoutMs,
      onLine: (line) => {
        this.#options.events.line(line);
        this.#logFiles.write(line);
      },
    };
  }

  /** What runs goes on running, and its lines go to these files from now on. */
  #logTo(logPaths: LogPaths): void {
    if (this.#plan !== undefined) this.#plan = { ...this.#plan, config: { ...this.#plan.config, logPaths } };
    this.#logFiles.use(logPaths);
  }

  #enter(state: EngineState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.events.stateChanged(state);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

function withProgram(plan: Plan, program: EngineProgram): Plan {
  return { ...plan, program: { ...plan.program, ...program } };
}

async function readTraffic(
  { api, process }: RunningXray,
  kind: TrafficKind | undefined,
  timeoutMs: number,
): Promise<TrafficReading> {
  return { incarnation: process.incarnation, counters: await readCounters(api, kind, timeoutMs) };
}
