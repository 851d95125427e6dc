import { join } from "node:path";
import { createInTurn, type InTurn } from "../../../platform/in-turn.ts";
import type { EngineEvents, EngineState } from "../engine.ts";
import { StartFailed } from "../engine-error.ts";
import { EngineVoice } from "../engine-voice.ts";
import { createComeback } from "../process/comeback.ts";
import type { ProcessEnd } from "../process/engine-process.ts";
import { watchHealth } from "../process/health-watch.ts";
import { createStops } from "../process/stops.ts";
import type { WireGuardConfig } from "./config.ts";
import type { HostRouting } from "./host/host-routing.ts";
import type { SystemTools } from "./host/system-tool.ts";
import { createPlanKeeper, keepsNothing, type Plan, type PlanKeeper } from "./kept-plan.ts";
import { LiveInterface } from "./live-interface.ts";
import { recoverInterface } from "./recovery.ts";
import { openTunnel, requireNameFree, type Tunnel, type TunnelOptions } from "./tunnel.ts";

/** How a WireGuard is run, and who is told of it. */
export interface SupervisionOptions {
  /** The wireguard-go to use where the kernel has no WireGuard. Undefined: there is none. */
  readonly executable: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** A directory of its own, absolute, which exists. Interfaces and rules are marked with it. */
  readonly runDir: string;
  readonly tools: SystemTools;
  readonly events: EngineEvents;
  /** Tells the time in Unix milliseconds. */
  readonly now: () => number;
  /** Seconds between looks at the counters; a process that does not answer three times in a row is killed. Default: 10. */
  readonly sampleSeconds?: number | undefined;
  /**
   * The file that the plan in force is kept in, so that it outlives the system; the interface itself outlives the node
   * then, and {@link Supervision.recover} finds both again. Undefined: the interface goes with the node.
   */
  readonly stateFile?: string | undefined;
}

/** A device has 30 s to answer; so often in a row it may not. */
const silencesBorne = 3;
/** How long a user who has gone is still counted. */
const leavingMs = 500;
// What the kernel takes for an interface's alias.
const longestAlias = 250;

/**
 * Keeps the interface of one plan standing: brings it back whenever its process goes away, and the plan before when a
 * new one does not run. Whoever changes what runs does so in turn.
 */
export class Supervision {
  readonly #options: SupervisionOptions;
  readonly #routing: HostRouting;
  /** Keeps the plan in force. */
  readonly keeper: PlanKeeper;
  readonly voice: EngineVoice;
  /** Whatever changes the interface waits for what came before. */
  readonly inTurn: InTurn = createInTurn();
  readonly #owner: string;
  readonly #record: string;
  readonly #comeback = createComeback({
    inTurn: (work) => this.inTurn(work),
    bringUp: async () => (this.#plan === undefined || this.#live !== undefined ? undefined : this.#bringUp(this.#plan)),
    isUnwanted: () => this.#stops.unwanted.aborted,
    failed: (error, againInMs) =>
      this.voice.say(`wireguard did not come back, again in ${againInMs / 1_000} s: ${error}`),
    back: ({ tunnel }) => this.#options.events.restarted(tunnel.incarnation),
  });
  #plan: Plan | undefined;
  #live: LiveInterface | undefined;
  #version = "";
  #startedAt = 0;
  #burial: NodeJS.Timeout | undefined;
  #stopWatch = () => {};
  readonly #stops = createStops((work) => this.inTurn(work));

  constructor(options: SupervisionOptions, routing: HostRouting) {
    this.#options = options;
    this.voice = new EngineVoice(options.events);
    this.#routing = routing;
    this.#owner = `garrison ${options.runDir}`.slice(0, longestAlias);
    this.#record = join(options.runDir, "wireguard-process.json");
    const { stateFile, events } = options;
    this.keeper = stateFile === undefined ? keepsNothing : createPlanKeeper(stateFile, events.line);
  }

  get state(): EngineState {
    return this.voice.state;
  }

  /** Of the program that drives the interface. */
  get version(): string {
    return this.#version;
  }

  /** What is in force: it stands, or comes back. */
  get plan(): Plan | undefined {
    return this.#plan;
  }

  /** The interface, while it stands. */
  get live(): LiveInterface | undefined {
    return this.#live;
  }

  /** Aborted by a stop: what is under way is in vain. */
  get unwanted(): AbortSignal {
    return this.#stops.unwanted;
  }

  /** For how many seconds it has stood. */
  get uptimeSeconds(): number {
    return Math.floor((performance.now() - this.#startedAt) / 1_000);
  }

  /** Takes over what an earlier process of this node has left and kept, or ends it; see {@link Engine.recover}. */
  recover(): Promise<Plan | undefined> {
    return this.inTurn(async () => {
      const kept = await this.keeper.open();
      if (kept !== undefined) this.voice.enter("restarting");
      const { tools, events } = this.#options;
      const live = await recoverInterface({
        kept,
        tunnelOf: ({ config }) => this.#tunnelOptions(config),
        liveOn: (tunnel, plan) => this.#liveOn(tunnel, plan),
        own: { record: this.#record, owner: this.#owner, tools },
        routing: this.#routing,
        say: (note) => this.voice.say(note),
        vanished: events.vanished,
      });
      if (kept === undefined) return undefined;
      this.#plan = kept.plan;
      if (live === undefined) await this.#comeback.attempt();
      else {
        this.#hold(live);
        await this.adopt(kept.plan);
      }
      return kept.plan;
    });
  }

  /**
   * Runs a plan instead of the one before, which comes back when it does not run. Its table has its users once `filled`
   * resolves.
   */
  async replace(plan: Plan, filled: Promise<unknown>): Promise<LiveInterface> {
    const before = this.#plan;
    // What runs is not touched for one that cannot.
    if (before !== undefined) await requireNameFree(plan.config.interfaceName, this.#tunnelOptions(plan.config));
    this.#comeback.cancel();
    this.voice.enter(before === undefined ? "starting" : "restarting");
    try {
      await this.#end();
      this.#plan = plan;
      const live = await this.#bringUp(plan, filled);
      this.#comeback.renew();
      return live;
    } catch (error) {
      this.#plan = before;
      if (before === undefined) this.voice.enter("stopped");
      else await this.#comeback.attempt();
      throw error;
    }
  }

  /** A plan is in force, and stands already; what peers send is routed once `routed` resolves. */
  async adopt(plan: Plan, routed: Promise<void> = this.#route(plan.config)): Promise<void> {
    this.#plan = plan;
    await Promise.all([this.keeper.keep(plan, this.#live?.traffic.counters.kept() ?? []), routed]);
  }

  /** Those who have gone are counted a last time, and their peers taken away, in a moment: however many go meanwhile. */
  buryLater(live: LiveInterface): void {
    if (this.#burial !== undefined) return;
    this.#burial = setTimeout(() => {
      this.#burial = undefined;
      void this.inTurn(async () => {
        if (this.#live === live) await live.traffic.bury();
      }).catch((error: unknown) => this.voice.say(`peers of users who have gone are still there: ${error}`));
    }, leavingMs);
  }

  /** Ends what runs, and forgets the plan. */
  stop(): Promise<void> {
    return this.#stops.stop(async () => {
      this.#comeback.cancel();
      this.#plan = undefined;
      this.voice.enter("stopped");
      await this.keeper.forget();
      await this.#end();
    });
  }

  /** Leaves what stands, and what is in force, to whoever comes after this process; where nothing is kept, ends it. */
  close(): Promise<void> {
    if (this.#options.stateFile === undefined) return this.stop();
    this.#stops.end();
    return this.inTurn(async () => {
      this.#comeback.cancel();
      const live = this.#live;
      this.#live = undefined;
      this.#quiet();
      await this.#routing.leave();
      await live?.traffic.bury().catch(() => undefined); // whoever comes next takes them away
      live?.tunnel.leave();
      await this.keeper.close();
    });
  }

  async #bringUp(plan: Plan, filled?: Promise<unknown>): Promise<LiveInterface> {
    const tunnel = await openTunnel(this.#tunnelOptions(plan.config), this.#stops.unwanted);
    const live = this.#liveOn(tunnel, plan);
    // Meanwhile: thousands of peers take WireGuard a second.
    const routed = this.#route(plan.config);
    try {
      await filled;
      await live.furnish();
    } catch (error) {
      await routed;
      await this.#routing.remove();
      await tunnel.close();
      throw new StartFailed(`failed to start wireguard: ${error instanceof Error ? error.message : error}`);
    }
    this.#hold(live);
    await this.adopt(plan, routed);
    return live;
  }

  #tunnelOptions({ interfaceName }: WireGuardConfig): TunnelOptions {
    const { executable, env, runDir, tools, events, stateFile } = this.#options;
    const output = stateFile === undefined ? undefined : join(runDir, "wireguard-output");
    const [record, owner, onLine] = [this.#record, this.#owner, events.line];
    return { interfaceName, executable, env, tools, output, record, owner, onLine };
  }

  #liveOn(tunnel: Tunnel, { config, table }: Plan): LiveInterface {
    const { tools, now } = this.#options;
    return new LiveInterface({ tunnel, config, table, tools, now, keep: (counters) => this.keeper.counted(counters) });
  }

  #route({ interfaceName: name, addresses }: WireGuardConfig): Promise<void> {
    return this.#routing.apply({ name, families: new Set(addresses.map(({ family }) => family)) });
  }

  #hold(live: LiveInterface): void {
    const { version, process } = live.tunnel;
    this.#live = live;
    this.#version = version;
    this.#startedAt = performance.now();
    this.voice.enter("running");
    // A tunnel of the kernel has no process, and does not end.
    const ended = process?.ended ?? new Promise<ProcessEnd>(() => undefined);
    void ended.then((end) => this.#onEnded(live, end));
    this.#stopWatch = watchHealth(
      { ended },
      () => live.traffic.sample(),
      { periodMs: (this.#options.sampleSeconds ?? 10) * 1_000, timeoutMs: 30_000, failures: silencesBorne },
      () => {
        if (this.#live !== live) return; // it is being ended
        this.voice.say("wireguard does not answer any more: it is ended, and started again");
        live.tunnel
          .close()
          .catch((error: unknown) => this.voice.say(`what does not answer any more cannot be taken away: ${error}`));
        if (process === undefined) this.#onEnded(live, { code: null, signal: null });
      },
    );
  }

  #onEnded(live: LiveInterface, end: ProcessEnd): void {
    if (this.#live !== live) return; // on purpose
    this.#live = undefined;
    this.#quiet();
    // What it counted since the last look is lost.
    this.#options.events.drained(live.traffic.reading());
    const restartInMs = this.#comeback.afterExit();
    this.voice.enter("restarting");
    const { incarnation, process } = live.tunnel;
    const lastLines = process?.lastLines().slice(-10) ?? [];
    this.#options.events.exited({ ...end, incarnation, lastLines, restartInMs });
  }

  /** Takes the interface away, after a last look at its counters, and what routes its packets. */
  async #end(): Promise<void> {
    await this.#routing.remove();
    const live = this.#live;
    if (live === undefined) return;
    this.#live = undefined;
    this.#quiet();
    // One that does not answer any more takes along what it counted since the last look.
    this.#options.events.drained(await live.traffic.sample().catch(() => live.traffic.reading()));
    await live.tunnel.close();
  }

  #quiet(): void {
    this.#stopWatch();
    clearTimeout(this.#burial);
    this.#burial = undefined;
  }
}
