import { createInTurn } from "../../../platform/in-turn.ts";
import type { EngineEvents, EngineState, OnlineAddresses } from "../engine.ts";
import { ApplyTimedOut, EngineNotRunning } from "../engine-error.ts";
import { createComeback } from "../process/comeback.ts";
import type { ProcessEnd } from "../process/engine-process.ts";
import { type HealthPace, usualHealthPace } from "../process/health-watch.ts";
import { type ApplyOptions, type ApplyPace, applyLive, drainAll, entire, usualApplyPace } from "./apply.ts";
import type { InboundConfig } from "./config.ts";
import { Counters, type UserTotal } from "./counters.ts";
import { filesOf, removeConfig } from "./files.ts";
import { type Held, hold, watchWellbeing } from "./held.ts";
import { createOnlineTimes } from "./online.ts";
import type { TelemtProgram } from "./process.ts";
import { structureOf } from "./render.ts";
import { type RunningTelemt, runTelemt } from "./running.ts";

/** How telemt is run, and who is told of it. */
export interface SupervisionOptions {
  /** Told when it is started. */
  readonly program: TelemtProgram;
  /** The directory of the config files: made, and closed to other users. Two engines may not share it. */
  readonly runDir: string;
  readonly events: Pick<EngineEvents, "line" | "exited" | "restarted">;
  /** Something of the state has changed. */
  readonly changed: () => void;
  /** Tells the time in Unix milliseconds. */
  readonly now: () => number;
  /** How many of telemt's last lines are told when it does not come up. Default: 200. */
  readonly startupLogLines?: number;
  /** After this time a telemt that does not serve is given up. Default: 60 s. */
  readonly startTimeoutMs?: number;
  /** When a telemt that served but does not answer any more is killed, to be started again. */
  readonly health?: HealthPace;
  readonly pace?: ApplyPace;
}

/**
 * Keeps the telemt of one inbound running: brings it back whenever it goes away, and the config before when another one
 * does not run. Whoever changes what runs does so in turn.
 */
export class Supervision {
  readonly #id: string;
  readonly #options: SupervisionOptions;
  readonly #counters = new Counters();
  readonly #onlineTimes: ReturnType<typeof createOnlineTimes>;
  readonly #comeback = createComeback({
    inTurn: (work) => this.#inTurn(work),
    bringUp: async () =>
      this.#config === undefined || this.#held !== undefined ? undefined : this.#bringUp(this.#config),
    isUnwanted: () => this.#unwanted.signal.aborted,
    failed: (error, againInMs) =>
      this.#options.events.line(`[garrison] telemt did not come back, again in ${againInMs / 1_000} s: ${error}`),
    back: ({ running }) => this.#options.events.restarted(running.process.incarnation),
  });
  #state: EngineState = "stopped";
  #config: InboundConfig | undefined;
  #held: Held | undefined;
  #version = "";
  #stopHealthWatch = () => {};
  #unwanted = new AbortController();
  // Whatever changes telemt waits for what came before.
  readonly #inTurn = createInTurn();

  constructor(id: string, options: SupervisionOptions) {
    this.#id = id;
    this.#options = options;
    this.#onlineTimes = createOnlineTimes(options.now);
  }

  /** What is in force: it runs, or comes back. */
  get config(): InboundConfig | undefined {
    return this.#config;
  }

  get state(): EngineState {
    return this.#state;
  }

  /** Of the telemt that was started last. */
  get version(): string {
    return this.#version;
  }

  /** What users have used, since this was made. */
  totals(): Iterable<UserTotal> {
    return this.#counters.totals();
  }

  /** Whether it can be changed into this config without ending everybody's connections. */
  canChangeInto(config: InboundConfig): boolean {
    return this.#config !== undefined && structureOf(this.#config) === structureOf(config);
  }

  /**
   * Runs a config. Where it can be, what runs is changed into it; else it is replaced, all that was used being counted.
   * Throws {@link ApplyTimedOut} or `StartFailed`; then the config before, if any, is in force, and runs or comes back.
   */
  run(config: InboundConfig): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#held !== undefined && this.canChangeInto(config)) return this.#change(this.#held, config);
      await this.#replace(config);
    });
  }

  /** Has a config in force that was so before: when it does not run, it is tried again and again. Never rejects. */
  restore(config: InboundConfig): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#config === config) return;
      if (this.#held !== undefined && this.canChangeInto(config)) {
        const changed = await this.#change(this.#held, config).then(
          () => true,
          () => false,
        );
        if (changed) return;
      }
      await this.#end();
      this.#comeback.cancel();
      this.#config = config;
      await this.#bringBack();
    });
  }

  /** Ends what runs, all that was used being counted. A start that is under way is given up. */
  stop(): Promise<void> {
    const unwanted = this.#unwanted;
    unwanted.abort();
    return this.#inTurn(async () => {
      this.#comeback.cancel();
      if (this.#unwanted === unwanted) this.#unwanted = new AbortController();
      await this.#end();
      this.#config = undefined;
      await removeConfig(filesOf(this.#options.runDir, this.#id));
      this.#enter("stopped");
    });
  }

  /** Has the counters take in what telemt has counted so far. Throws `EngineUnreachable`, or {@link EngineNotRunning}. */
  async count(): Promise<void> {
    await this.#requireHeld().sample();
  }

  /** Where users are connected from, by name. Throws like {@link count}. */
  async online(): Promise<ReadonlyMap<string, OnlineAddresses>> {
    return this.#onlineTimes(await this.#requireHeld().running.api.activeAddresses());
  }

  async #change(held: Held, config: InboundConfig): Promise<void> {
    const before = this.#config;
    if (before === undefined) return;
    try {
      await applyLive(held.running, before, config, this.#applyOptions(held));
      this.#config = config;
    } catch (error) {
      if (this.#unwanted.signal.aborted) throw error;
      if (this.#held !== held) {
        // It went away, and may as well come back with the other config.
        const back = await this.#replace(config);
        this.#options.events.restarted(back.running.process.incarnation);
        return;
      }
      if (!(await held.running.worksByIt().catch(() => false))) {
        this.#enter("restarting");
        await this.#end();
        await this.#bringBack();
      }
      throw error instanceof ApplyTimedOut ? error : new ApplyTimedOut(`telemt cannot be changed: ${error}`);
    }
  }

  /**
   * Runs a config instead of the one before, which comes back when it does not run. A new process, since telemt's own
   * reload ends all connections, too, and takes what they count meanwhile along.
   */
  async #replace(config: InboundConfig): Promise<Held> {
    const before = this.#config;
    await this.#end();
    this.#comeback.cancel();
    this.#enter(before === undefined ? "starting" : "restarting");
    this.#config = config;
    try {
      const held = await this.#bringUp(config);
      this.#comeback.renew();
      return held;
    } catch (error) {
      this.#config = before;
      await this.#bringBack();
      throw error;
    }
  }

  async #bringUp(config: InboundConfig): Promise<Held> {
    const { program, runDir, events, startupLogLines = 200, startTimeoutMs = 60_000 } = this.#options;
    const running = await runTelemt(
      {
        program,
        inbound: entire(config),
        files: filesOf(runDir, this.#id),
        keepLines: startupLogLines,
        timeoutMs: startTimeoutMs,
        onLine: events.line,
      },
      this.#unwanted.signal,
    );
    return this.#hold(running);
  }

  #hold(running: RunningTelemt): Held {
    const { events, health = usualHealthPace } = this.#options;
    const held = hold(running, this.#counters.begin());
    this.#held = held;
    this.#version = running.version;
    this.#enter("running");
    void running.process.ended.then((end) => this.#onEnded(held, end));
    this.#stopHealthWatch = watchWellbeing(held, health, {
      readiness: (reason) =>
        events.line(`[garrison] telemt of inbound ${this.#id} is ${reason ? `not ready: ${reason}` : "ready"}`),
      silent: () => {
        if (this.#held !== held) return; // it is being ended
        events.line("[garrison] telemt does not answer any more: it is killed, and started again");
        void running.process.terminate(0);
      },
    });
    return held;
  }

  #onEnded(held: Held, end: ProcessEnd): void {
    if (this.#held !== held) return; // on purpose
    this.#held = undefined;
    held.counted.end();
    const restartInMs = this.#comeback.afterExit();
    this.#enter("restarting");
    const { incarnation, lastLines } = held.running.process;
    this.#options.events.exited({ ...end, incarnation, lastLines: lastLines().slice(-10), restartInMs });
  }

  /** Ends the process, if there is one, when nobody is connected any more and all that was used is counted. */
  async #end(): Promise<void> {
    const held = this.#held;
    const config = this.#config;
    if (held === undefined || config === undefined) return;
    // Not told by a stop to hurry: what it would save is less than what would be lost.
    const signal = AbortSignal.any([held.gone, AbortSignal.timeout(drainingMs)]);
    const options = { ...this.#applyOptions(held), signal };
    await drainAll(held.running, config, options);
    this.#held = undefined;
    this.#stopHealthWatch();
    held.counted.end();
    await held.running.end();
  }

  /** Runs the config in force again, if there is one; when that fails, again and again. */
  async #bringBack(): Promise<void> {
    if (this.#config === undefined || this.#unwanted.signal.aborted) {
      this.#enter("stopped");
      return;
    }
    this.#enter("restarting");
    await this.#comeback.attempt();
  }

  #applyOptions({ sample, gone }: Held): ApplyOptions {
    const signal = AbortSignal.any([this.#unwanted.signal, gone]);
    return { pace: this.#options.pace ?? usualApplyPace, sample, signal };
  }

  #requireHeld(): Held {
    if (this.#held === undefined) throw new EngineNotRunning(`telemt of inbound ${this.#id} does not run`);
    return this.#held;
  }

  #enter(state: EngineState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.changed();
  }
}

/** As long as telemt may take to follow and to end connections; one that hangs is not waited for longer. */
const drainingMs = 10_000;
