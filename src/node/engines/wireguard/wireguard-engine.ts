import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  type BackendStatsResponse,
  BackendStatsResponseSchema,
  type Latency,
  type User,
} from "../../../../gen/service/node_pb.ts";
import { createInTurn } from "../../../platform/in-turn.ts";
import type {
  Engine,
  EngineEvents,
  EngineState,
  OnlineAddresses,
  StartRequest,
  TrafficKind,
  TrafficReading,
  UsersOutcome,
} from "../engine.ts";
import { EngineNotRunning, StartFailed } from "../engine-error.ts";
import type { ProcessEnd } from "../process/engine-process.ts";
import { type HealthPace, watchHealth } from "../process/health-watch.ts";
import { createRestartPace } from "../process/restart-pace.ts";
import { readWireGuardConfig, type WireGuardConfig } from "./config.ts";
import { LiveInterface } from "./live-interface.ts";
import type { SystemTools } from "./system-tool.ts";
import { openTunnel, removeLeftTunnels, type Tunnel } from "./tunnel.ts";
import { PeerTable } from "./users.ts";

/** Options of {@link createWireGuardEngine}. */
export interface WireGuardEngineOptions {
  /** The wireguard-go to use where the kernel has no WireGuard. Undefined: there is none. */
  readonly executable: string | undefined;
  readonly env: NodeJS.ProcessEnv;
  /** A directory of its own, absolute, which exists. Interfaces are marked with it. */
  readonly runDir: string;
  readonly tools: SystemTools;
  readonly events: EngineEvents;
  /** Tells the time in Unix milliseconds. */
  readonly now: () => number;
  /** How often peers are looked at; a process that does not answer so often is killed. Default: every 10 s, 3 times. */
  readonly samplePace?: HealthPace;
}

/** What is in force: it stands, or comes back. */
interface Plan {
  readonly config: WireGuardConfig;
  readonly table: PeerTable;
}

/** Makes an engine that runs WireGuard; nothing runs before its first start. */
export function createWireGuardEngine(options: WireGuardEngineOptions): Engine {
  return new WireGuardEngine(options);
}

const usualPace: HealthPace = { periodMs: 10_000, timeoutMs: 30_000, failures: 3 };
/** How long a user who has gone is still counted. */
const leavingMs = 500;

class WireGuardEngine implements Engine {
  /** Of its one inbound WireGuard counts nothing that it does not count of the interface. */
  readonly counts: ReadonlySet<TrafficKind> = new Set(["user", "outbound"]);
  readonly routing = undefined;
  /** Connections end with the peer. */
  readonly connections = undefined;
  readonly #options: WireGuardEngineOptions;
  readonly #owner: string;
  readonly #record: string;
  // Whatever changes the interface waits for what came before.
  readonly #inTurn = createInTurn();
  #pace = createRestartPace(() => performance.now());
  #state: EngineState = "stopped";
  #plan: Plan | undefined;
  #live: LiveInterface | undefined;
  #version = "";
  #startedAt = 0;
  #restart: NodeJS.Timeout | undefined;
  #burial: NodeJS.Timeout | undefined;
  #stopWatch = () => {};
  #unwanted = new AbortController();

  constructor(options: WireGuardEngineOptions) {
    this.#options = options;
    this.#owner = `garrison ${options.runDir}`.slice(0, longestAlias);
    this.#record = join(options.runDir, "wireguard-process.json");
  }

  get state(): EngineState {
    return this.#state;
  }

  get version(): string {
    return this.#version;
  }

  recover(): Promise<undefined> {
    return this.#inTurn(async () => {
      await removeLeftTunnels({ record: this.#record, owner: this.#owner, tools: this.#options.tools });
      return undefined;
    });
  }

  start({ config: text, users }: StartRequest): Promise<UsersOutcome> {
    return this.#inTurn(async () => {
      if (this.#plan === undefined) this.#enter("starting");
      try {
        const config = readWireGuardConfig(text);
        if (this.#live !== undefined && this.#live.config.interfaceName === config.interfaceName)
          return await this.#changeInto(this.#live, config, users);
        return await this.#replace(config, users);
      } catch (error) {
        if (this.#plan === undefined) this.#enter("stopped");
        throw error;
      }
    });
  }

  stop(): Promise<void> {
    const unwanted = this.#unwanted;
    unwanted.abort();
    return this.#inTurn(async () => {
      clearTimeout(this.#restart);
      if (this.#unwanted === unwanted) this.#unwanted = new AbortController();
      this.#plan = undefined;
      this.#enter("stopped");
      await this.#end();
    });
  }

  close(): Promise<void> {
    return this.stop();
  }

  async updateUsers(users: readonly User[]): Promise<UsersOutcome> {
    this.#requireLive();
    return this.#inTurn(() => this.#sync(this.#requireLive(), users, false));
  }

  async replaceUsers(users: readonly User[]): Promise<UsersOutcome> {
    this.#requireLive();
    return this.#inTurn(() => this.#sync(this.#requireLive(), users, true));
  }

  knows(kind: TrafficKind, name: string): boolean {
    if (this.#plan === undefined) return false;
    return kind === "user" ? this.#plan.table.has(name) : name === this.#plan.config.interfaceName;
  }

  async readTraffic(kind?: TrafficKind): Promise<TrafficReading> {
    const live = this.#requireLive();
    const { incarnation, counters } = await live.sample();
    // What was told last of it holds these bytes.
    if (this.#live !== live) throw new EngineNotRunning("core is not started yet");
    return { incarnation, counters: counters.filter((counter) => kind === undefined || counter.kind === kind) };
  }

  async online(email: string): Promise<OnlineAddresses> {
    const live = this.#requireLive();
    await live.sample();
    return live.counters.online(email);
  }

  async onlineNames(): Promise<ReadonlySet<string>> {
    const live = this.#requireLive();
    await live.sample();
    return live.counters.onlineNames();
  }

  /** The node's own: WireGuard measures nothing of itself. */
  async sysStats(): Promise<BackendStatsResponse> {
    this.#requireLive();
    const { heapUsed, rss } = process.memoryUsage();
    const uptime = Math.floor((performance.now() - this.#startedAt) / 1_000);
    return create(BackendStatsResponseSchema, { alloc: BigInt(heapUsed), sys: BigInt(rss), uptime });
  }

  async latencies(): Promise<Latency[] | undefined> {
    this.#requireLive();
    return undefined;
  }

  #requireLive(): LiveInterface {
    if (this.#live === undefined || this.#state !== "running") throw new EngineNotRunning("core is not started yet");
    return this.#live;
  }

  async #sync(live: LiveInterface, users: readonly User[], replace: boolean): Promise<UsersOutcome> {
    const { differences, skipped, rejected } = live.table.diff(users, replace);
    const refused = await live.apply(differences);
    if (live.hasLeaving) this.#buryLater(live);
    return { skipped, rejected: [...rejected, ...refused] };
  }

  /** Changes what stands into another config of the same interface: all of it can be changed without a restart. */
  async #changeInto(live: LiveInterface, config: WireGuardConfig, users: readonly User[]): Promise<UsersOutcome> {
    const { config: before, table: tableBefore } = live;
    const table = PeerTable.succeeding(tableBefore, config);
    try {
      await live.changeConfig(config, table);
    } catch (error) {
      await live.changeConfig(before, tableBefore).catch((failure: unknown) => this.#say(`${failure}`));
      throw new StartFailed(`failed to start wireguard: ${error instanceof Error ? error.message : error}`);
    }
    this.#plan = { config, table };
    return this.#sync(live, users, true);
  }

  /** Runs a config instead of the one before, which comes back when it does not run. */
  async #replace(config: WireGuardConfig, users: readonly User[]): Promise<UsersOutcome> {
    const before = this.#plan;
    const table = new PeerTable(config);
    const { differences, skipped, rejected } = table.diff(users, true);
    for (const difference of differences) table.settle(difference);
    clearTimeout(this.#restart);
    if (before !== undefined) this.#enter("restarting");
    await this.#end();
    this.#plan = { config, table };
    try {
      await this.#bringUp(this.#plan);
      this.#pace = createRestartPace(() => performance.now());
      return { skipped, rejected };
    } catch (error) {
      this.#plan = before;
      await this.#bringBack();
      throw error;
    }
  }

  async #bringUp({ config, table }: Plan): Promise<void> {
    const { executable, env, tools, events, now } = this.#options;
    const tunnel = await openTunnel(
      {
        interfaceName: config.interfaceName,
        executable,
        env,
        record: this.#record,
        owner: this.#owner,
        tools,
        onLine: events.line,
      },
      this.#unwanted.signal,
    );
    const live = new LiveInterface({ tunnel, config, table, tools, now });
    try {
      await live.furnish();
    } catch (error) {
      await tunnel.close();
      throw new StartFailed(`failed to start wireguard: ${error instanceof Error ? error.message : error}`);
    }
    this.#hold(live, tunnel);
  }

  #hold(live: LiveInterface, { version, process }: Tunnel): void {
    this.#live = live;
    this.#version = version;
    this.#startedAt = performance.now();
    this.#enter("running");
    // A tunnel of the kernel has no process, and does not end.
    const ended = process?.ended ?? new Promise<ProcessEnd>(() => undefined);
    void ended.then((end) => this.#onEnded(live, end));
    this.#stopWatch = watchHealth(
      { ended },
      () => live.sample(),
      this.#options.samplePace ?? usualPace,
      () => {
        if (this.#live !== live) return; // it is being ended
        this.#say("wireguard does not answer any more: it is ended, and started again");
        void live.tunnel.close();
        if (process === undefined) this.#onEnded(live, { code: null, signal: null });
      },
    );
  }

  #onEnded(live: LiveInterface, end: ProcessEnd): void {
    if (this.#live !== live) return; // on purpose
    this.#live = undefined;
    this.#stopWatch();
    // What it counted since the last look is lost.
    this.#options.events.drained(live.reading());
    const restartInMs = this.#pace.afterExit();
    this.#enter("restarting");
    const { incarnation, process } = live.tunnel;
    const lastLines = process?.lastLines().slice(-10) ?? [];
    this.#options.events.exited({ ...end, incarnation, lastLines, restartInMs });
    this.#bringBackIn(restartInMs);
  }

  async #bringBack(): Promise<boolean> {
    if (this.#plan === undefined || this.#live !== undefined || this.#unwanted.signal.aborted) return false;
    this.#enter("restarting");
    try {
      await this.#bringUp(this.#plan);
      return true;
    } catch (error) {
      if (this.#unwanted.signal.aborted) return false;
      const delayMs = this.#pace.afterFailure();
      this.#say(`wireguard did not come back, again in ${delayMs / 1_000} s: ${error}`);
      this.#bringBackIn(delayMs);
      return false;
    }
  }

  #bringBackIn(delayMs: number): void {
    clearTimeout(this.#restart);
    this.#restart = setTimeout(() => {
      void this.#inTurn(async () => {
        if ((await this.#bringBack()) && this.#live !== undefined)
          this.#options.events.restarted(this.#live.tunnel.incarnation);
      });
    }, delayMs);
  }

  #buryLater(live: LiveInterface): void {
    clearTimeout(this.#burial);
    this.#burial = setTimeout(() => {
      void this.#inTurn(async () => {
        if (this.#live === live) await live.bury();
      }).catch((error: unknown) => this.#say(`peers of users who have gone are still there: ${error}`));
    }, leavingMs);
  }

  /** Takes the interface away, after a last look at its counters. */
  async #end(): Promise<void> {
    const live = this.#live;
    if (live === undefined) return;
    this.#live = undefined;
    this.#stopWatch();
    clearTimeout(this.#burial);
    // One that does not answer any more takes along what it counted since the last look.
    this.#options.events.drained(await live.sample().catch(() => live.reading()));
    await live.tunnel.close();
  }

  #say(note: string): void {
    this.#options.events.line(`[garrison] ${note}`);
  }

  #enter(state: EngineState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.events.stateChanged(state);
  }
}

// What the kernel takes for an interface's alias.
const longestAlias = 250;
