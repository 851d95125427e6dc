import { StatsService } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import { createInTurn, type InTurn } from "../../../platform/in-turn.ts";
import type { EngineState, TrafficKind, TrafficReading } from "../engine.ts";
import { StartFailed } from "../engine-error.ts";
import { EngineVoice } from "../engine-voice.ts";
import { createComeback } from "../process/comeback.ts";
import type { ProcessEnd } from "../process/engine-process.ts";
import { type HealthPace, usualHealthPace, watchHealth } from "../process/health-watch.ts";
import { forgetProcess } from "../process/process-record.ts";
import { createStops } from "../process/stops.ts";
import { applyChanges } from "./apply.ts";
import type { ClientsOf } from "./config.ts";
import { createPlanKeeper, keepsNothing } from "./kept-plan.ts";
import { createLaunches, type Launches, type LaunchOptions } from "./launches.ts";
import { createLogFiles, type LogFiles } from "./log-files.ts";
import type { Plan } from "./plan.ts";
import { PlanInForce } from "./plan-in-force.ts";
import type { KeptPlan, ReadConfig } from "./plan-records.ts";
import type { XrayProgram } from "./process.ts";
import { recoverXray } from "./recovery.ts";
import { restoreOverrides } from "./routing.ts";
import { leaving, type RunningXray, runXray, testConfig } from "./running.ts";

/** How an Xray is run, and who is told of it. */
export interface SupervisionOptions extends XrayProgram, LaunchOptions {
  /** When an Xray that ran but does not answer any more is killed, to be started again. */
  readonly health?: HealthPace;
  /**
   * The file that the plan in force is kept in, so that it outlives the system; Xray itself outlives the node then, and
   * {@link Supervision.recover} finds both again. Undefined: Xray ends with the node.
   */
  readonly stateFile?: string | undefined;
}

/**
 * Keeps the Xray of one plan running: brings it back whenever it goes away, and the plan before when a new one does not
 * run. Whoever changes what runs does so in turn.
 */
export class Supervision {
  readonly #options: SupervisionOptions;
  readonly voice: EngineVoice;
  /** Whatever changes the engine waits for what came before. */
  readonly inTurn: InTurn = createInTurn();
  /** What is in force, and how it is changed without a restart. */
  readonly inForce: PlanInForce;
  readonly #logFiles: LogFiles;
  readonly #launches: Launches;
  #stopHealthWatch = () => {};
  readonly #comeback = createComeback({
    inTurn: (work) => this.inTurn(work),
    bringUp: async () =>
      this.plan === undefined || this.#running !== undefined ? undefined : this.#bringUp(this.plan),
    isUnwanted: () => this.#stops.unwanted.aborted,
    failed: (error, againInMs) =>
      this.#options.events.line(`xray did not come back, again in ${againInMs / 1000} s: ${error}`),
    back: ({ process }) => this.#options.events.restarted(process.incarnation),
  });
  #version = "";
  #running: RunningXray | undefined;
  readonly #stops = createStops((work) => this.inTurn(work));

  constructor(options: SupervisionOptions, apiSocket: string, readConfig: ReadConfig) {
    this.#options = options;
    this.voice = new EngineVoice(options.events);
    const tell = (note: string) => options.events.line(note);
    this.#logFiles = createLogFiles(tell);
    const { stateFile } = options;
    this.#launches = createLaunches(options, {
      apiSocket,
      outlives: stateFile !== undefined,
      onLine: (line) => {
        options.events.line(line);
        this.#logFiles.write(line);
      },
    });
    const keeper = stateFile === undefined ? keepsNothing : createPlanKeeper({ path: stateFile, readConfig, tell });
    this.inForce = new PlanInForce({ keeper, logFiles: this.#logFiles, launches: this.#launches });
  }

  /** What is in force: it runs, or comes back. */
  get plan(): Plan | undefined {
    return this.inForce.plan;
  }

  /** The process, while it answers. */
  get running(): RunningXray | undefined {
    return this.#running;
  }

  get state(): EngineState {
    return this.voice.state;
  }

  get version(): string {
    return this.#version;
  }

  /** Aborted by a stop: what is under way is in vain. */
  get unwanted(): AbortSignal {
    return this.#stops.unwanted;
  }

  /** After this time an Xray that does not answer is given up. */
  get timeoutMs(): number {
    return this.#launches.timeoutMs;
  }

  /** Has Xray read a plan without running it. Throws `ConfigRefused` with its own words. */
  test(plan: Plan, clientsOf?: ClientsOf): Promise<void> {
    return testConfig(this.#launches.of(plan, clientsOf));
  }

  /** Ends what runs, and forgets the plan. */
  stop(): Promise<void> {
    return this.#stops.stop(async () => {
      this.#comeback.cancel();
      this.voice.enter("stopped");
      await this.inForce.forget();
      await this.#end();
      await forgetProcess(this.#launches.record);
      await this.#logFiles.release();
    });
  }

  /** Leaves what runs, and what is in force, to whoever comes after this process. */
  leave(): Promise<void> {
    this.#stops.end(leaving);
    return this.inTurn(async () => {
      this.#comeback.cancel();
      this.#stopHealthWatch();
      this.#running?.leave();
      this.#running = undefined;
      await this.inForce.close();
      await this.#logFiles.release();
    });
  }

  /**
   * Takes over what an earlier process of this node has left and kept, or ends it; see {@link Engine.recover}. `program`
   * is what is started from now on.
   */
  recover(program: XrayProgram): Promise<Plan | undefined> {
    return this.inTurn(async () => {
      const kept = await this.inForce.recover(program);
      if (kept !== undefined) this.voice.enter("restarting");
      const running = await recoverXray({
        record: this.#launches.record,
        kept,
        launchOf: (plan) => this.#launches.of(plan),
        apiSocket: this.#launches.apiSocket,
        signal: this.#stops.unwanted,
        events: this.#options.events,
      });
      if (kept === undefined) return undefined;
      if (running === undefined) await this.#comeback.attempt();
      else await this.#goOnWith(running, kept);
      await this.inForce.keep();
      return kept.plan;
    });
  }

  async #goOnWith(running: RunningXray, { plan, unsettled }: KeptPlan): Promise<void> {
    this.#logFiles.use(plan.config.logPaths);
    this.#hold(running);
    await applyChanges(running.api, plan.table, unsettled, this.#stops.unwanted).catch(() => this.startAgain(running));
  }

  /** Starts the plan in force again, unless Xray went away by itself, and comes back anyway. */
  async startAgain(running: RunningXray): Promise<void> {
    // Whoever comes after this process finds what was begun, and starts it again.
    if (this.#running !== running || this.#stops.unwanted.reason === leaving) return;
    this.voice.enter("restarting");
    await this.#end();
    await this.#comeback.attempt();
  }

  /** Runs a plan instead of the one before, which comes back when the new one does not run. */
  async replace(plan: Plan): Promise<void> {
    if (this.#running !== undefined) await this.test(plan);
    if (this.#stops.unwanted.aborted) throw new StartFailed("stopped while xray was starting");
    this.#comeback.cancel();
    if (this.plan !== undefined) this.voice.enter("restarting");
    await this.#end();
    try {
      await this.inForce.replaceBy(plan, async () => void (await this.#bringUp(plan)));
      this.#comeback.renew();
    } catch (error) {
      await this.#comeback.attempt();
      throw error;
    }
  }

  async #bringUp(plan: Plan): Promise<RunningXray> {
    this.#logFiles.use(plan.config.logPaths);
    await this.#launches.prepare();
    this.#launches.tell(plan);
    const running = await runXray(this.#launches.of(plan), this.#stops.unwanted);
    // One that went away meanwhile comes back, and is told again.
    await restoreOverrides(running.api, plan.config.routing).catch(() => undefined);
    plan.table.started();
    this.#hold(running);
    return running;
  }

  #hold(running: RunningXray): void {
    this.#version = running.version;
    this.#running = running;
    this.voice.enter("running");
    void running.process.ended.then((end) => this.#onEnded(running, end));
    this.#stopHealthWatch = watchHealth(
      running.process,
      probe(running),
      this.#options.health ?? usualHealthPace,
      () => {
        if (this.#running !== running) return; // it is being ended
        this.voice.say("xray does not answer any more: it is killed, and started again");
        void running.process.terminate(0);
      },
    );
  }

  #onEnded(running: RunningXray, end: ProcessEnd): void {
    // Ended on purpose.
    if (this.#running !== running) return;
    this.#running = undefined;
    const restartInMs = this.#comeback.afterExit();
    this.voice.enter("restarting");
    const { incarnation, lastLines } = running.process;
    this.#options.events.exited({ ...end, incarnation, lastLines: lastLines().slice(-10), restartInMs });
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
}

function probe({ api }: RunningXray): (timeoutMs: number) => Promise<unknown> {
  return (timeoutMs) => api.call(StatsService.method.getSysStats, {}, timeoutMs);
}

/** Reads the counters of a process. */
export async function readTraffic(
  { readCounters, process }: RunningXray,
  kind: TrafficKind | undefined,
  timeoutMs: number,
): Promise<TrafficReading> {
  return { incarnation: process.incarnation, counters: await readCounters(kind, timeoutMs) };
}
