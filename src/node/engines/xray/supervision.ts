import { chmod, mkdir } from "node:fs/promises";
import type { EngineEvents, EngineState, TrafficKind, TrafficReading } from "../engine.ts";
import { StartFailed } from "../engine-error.ts";
import type { ClientsOf } from "./config.ts";
import { type HealthPace, usualHealthPace, watchHealth } from "./health-watch.ts";
import { createLogFiles, type LogFiles, type LogPaths } from "./log-files.ts";
import type { Plan } from "./plan.ts";
import type { ProcessEnd, XrayProgram } from "./process.ts";
import { createRestartPace } from "./restart-pace.ts";
import { restoreOverrides } from "./routing.ts";
import { type Launch, type RunningXray, runXray, testConfig } from "./running.ts";
import { readCounters } from "./traffic.ts";

/** How an Xray is run, and who is told of it. */
export interface SupervisionOptions extends XrayProgram {
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

/**
 * Keeps the Xray of one plan running: brings it back whenever it goes away, and the plan before when a new one does not
 * run. Whoever changes what runs does so in turn.
 */
export class Supervision {
  readonly #options: SupervisionOptions;
  readonly #apiSocket: string;
  readonly #logFiles: LogFiles;
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

  constructor(options: SupervisionOptions, apiSocket: string) {
    this.#options = options;
    this.#apiSocket = apiSocket;
    this.#logFiles = createLogFiles((note) => options.events.line(note));
  }

  /** What is in force: it runs, or comes back. */
  get plan(): Plan | undefined {
    return this.#plan;
  }

  /** The process, while it answers. */
  get running(): RunningXray | undefined {
    return this.#running;
  }

  get state(): EngineState {
    return this.#state;
  }

  get version(): string {
    return this.#version;
  }

  /** Aborted by a stop: what is under way is in vain. */
  get unwanted(): AbortSignal {
    return this.#unwanted.signal;
  }

  /** After this time an Xray that does not answer is given up. */
  get timeoutMs(): number {
    return this.#options.startTimeoutMs ?? 60_000;
  }

  /** Tells a new state. */
  enter(state: EngineState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.events.stateChanged(state);
  }

  /** Runs some work once all that was asked for before is done. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** Has Xray read a plan without running it. Throws `ConfigRefused` with its own words. */
  test(plan: Plan, clientsOf?: ClientsOf): Promise<void> {
    return testConfig(this.#launchOf(plan, clientsOf));
  }

  /** What runs is this plan by now: Xray was changed into it. */
  adopt(plan: Plan): void {
    this.#plan = plan;
    this.#logFiles.use(plan.config.logPaths);
    this.#tellConfig(plan);
  }

  /** What runs goes on running, with this in its plan from now on. */
  amend(config: Plan["config"]): void {
    if (this.#plan !== undefined) this.#plan = { ...this.#plan, config };
  }

  /** What runs goes on running, and its lines go to these files from now on. */
  logTo(logPaths: LogPaths): void {
    if (this.#plan !== undefined) this.amend({ ...this.#plan.config, logPaths });
    this.#logFiles.use(logPaths);
  }

  /** Ends what runs, and forgets the plan. */
  stop(): Promise<void> {
    this.#unwanted.abort();
    this.#stopsWaiting += 1;
    return this.inTurn(async () => {
      this.#stopsWaiting -= 1;
      clearTimeout(this.#restart);
      this.#plan = undefined;
      this.enter("stopped");
      await this.#end();
      await this.#logFiles.release();
      if (this.#stopsWaiting === 0) this.#unwanted = new AbortController();
    });
  }

  /** Starts the plan in force again, unless Xray went away by itself, and comes back anyway. */
  async startAgain(running: RunningXray): Promise<void> {
    if (this.#running !== running) return;
    this.enter("restarting");
    await this.#end();
    await this.#bringBack();
  }

  /** Runs a plan instead of the one before, which comes back when the new one does not run. */
  async replace(plan: Plan): Promise<void> {
    if (this.#running !== undefined) await this.test(plan);
    clearTimeout(this.#restart);
    if (this.#plan !== undefined) this.enter("restarting");
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
    this.#tellConfig(plan);
    const running = await runXray(this.#launchOf(plan), this.#unwanted.signal);
    // One that went away meanwhile comes back, and is told again.
    await restoreOverrides(running.api, plan.config.routing).catch(() => undefined);
    plan.table.started();
    this.#plan = plan;
    this.#version = running.version;
    this.#running = running;
    this.enter("running");
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
      void this.inTurn(async () => {
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
    this.enter("restarting");
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
      timeoutMs: this.timeoutMs,
      onLine: (line) => {
        this.#options.events.line(line);
        this.#logFiles.write(line);
      },
    };
  }

  #tellConfig(plan: Plan): void {
    this.#options.onConfig?.([...this.#launchOf(plan).config].join(""));
  }
}

/** Reads the counters of a process. */
export async function readTraffic(
  { api, process }: RunningXray,
  kind: TrafficKind | undefined,
  timeoutMs: number,
): Promise<TrafficReading> {
  return { incarnation: process.incarnation, counters: await readCounters(api, kind, timeoutMs) };
}
