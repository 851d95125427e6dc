import { randomUUID } from "node:crypto";
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
  EngineProgram,
  EngineState,
  OnlineAddresses,
  RejectedUser,
  StartRequest,
  TrafficKind,
  TrafficReading,
  UpdatableEngine,
  UsersOutcome,
} from "../engine.ts";
import { EngineNotRunning, EngineUnreachable, StartFailed } from "../engine-error.ts";
import type { EngineRouting } from "../routing.ts";
import type { ConnectionCutter } from "../sockets/connection-cutter.ts";
import type { XrayApi } from "./api.ts";
import { applyChanges } from "./apply.ts";
import { applyInBulk } from "./bulk-change.ts";
import { readXrayConfig, type XrayConfig } from "./config.ts";
import { createXrayConnections, type XrayConnections } from "./connections.ts";
import { readLatencies } from "./latency.ts";
import { prepareLiveChange } from "./live-change.ts";
import { lossesBy, lossesByChange } from "./losses.ts";
import { readAllOnline, readOnline } from "./online.ts";
import type { Plan } from "./plan.ts";
import type { XrayProgram } from "./process.ts";
import { createXrayRouting, restoreOverrides } from "./routing.ts";
import type { RoutingState } from "./routing-state.ts";
import type { RunningXray } from "./running.ts";
import { StepFailed } from "./structure.ts";
import { readTraffic, Supervision, type SupervisionOptions } from "./supervision.ts";
import { UserTable } from "./users.ts";
import type { AccountChange } from "./users-diff.ts";

/** Options of {@link createXrayEngine}. */
export interface XrayEngineOptions extends SupervisionOptions {
  /** Cuts the connections of users who lose an inbound. Absent: they live on. */
  readonly cutter?: ConnectionCutter | undefined;
  /** Xray counts who is online, whatever its config says: so it does where there is a cutter. Default: no. */
  readonly countOnline?: boolean | undefined;
}

/** Makes an engine that runs Xray; nothing runs before its first start. */
export function createXrayEngine(options: XrayEngineOptions): UpdatableEngine {
  const apiSocket = join(options.runDir, "xray-api.sock");
  if (Buffer.byteLength(apiSocket) > longestSocketPath) {
    throw new Error(`${apiSocket} is too long for a unix socket: at most ${longestSocketPath} bytes`);
  }
  return new XrayEngine(options, apiSocket);
}

// The kernel's limit is 108 with the closing zero.
const longestSocketPath = 107;

class XrayEngine implements UpdatableEngine {
  readonly counts: ReadonlySet<TrafficKind> = new Set(["user", "inbound", "outbound"]);
  readonly #xray: Supervision;
  readonly #apiSocket: string;
  readonly #outlives: boolean;
  readonly #countOnline: boolean;
  // What is started from now on; what runs may be another one.
  #program: XrayProgram;

  readonly routing: EngineRouting = createXrayRouting({
    running: () => this.#requirePlan(),
    inTurn: (work) => this.#xray.inTurn(() => this.#xray.inForce.changeRouting(work)),
    settled: (config) => this.#xray.inForce.amend({ config }),
  });

  readonly connections: XrayConnections | undefined;

  constructor(options: XrayEngineOptions, apiSocket: string) {
    this.#xray = new Supervision(options, apiSocket, (source, routing) => this.#readConfig(source, routing));
    this.#program = { executable: options.executable, assets: options.assets, env: options.env };
    this.#outlives = options.stateFile !== undefined;
    this.#countOnline = options.countOnline === true || options.cutter !== undefined;
    this.#apiSocket = apiSocket;
    this.connections = options.cutter && createXrayConnections(options.cutter, () => this.#requirePlan());
  }

  get state(): EngineState {
    return this.#xray.state;
  }

  get version(): string {
    return this.#xray.version;
  }

  async recover(): Promise<{ keepAlive: bigint } | undefined> {
    const plan = await this.#xray.recover(this.#program);
    return plan && { keepAlive: plan.keepAlive };
  }

  start({ config: text, users, excludeInbounds, keepAlive = 0n }: StartRequest): Promise<UsersOutcome> {
    return this.#xray.inTurn(async () => {
      if (this.#xray.plan === undefined) this.#xray.voice.enter("starting");
      try {
        const config = this.#readConfig({ text, excludeInbounds });
        if (this.#xray.running !== undefined && this.#xray.plan?.config.fingerprint === config.fingerprint) {
          await this.#xray.inForce.amend({ config, keepAlive });
          return await this.#sync(users, true);
        }
        for (const note of config.notes) this.#xray.voice.say(note);
        const adopted = await this.#changeLive(config, users, keepAlive);
        if (adopted !== undefined) return adopted;
        const table = new UserTable(config.inbounds);
        const { changes, skipped, rejected } = await table.diff(users, true);
        await table.settle(changes);
        await this.#xray.replace({ id: randomUUID(), keepAlive, program: this.#program, config, table });
        return { skipped, rejected };
      } catch (error) {
        if (this.#xray.plan === undefined) this.#xray.voice.enter("stopped");
        // A stop, or the end of Xray, came while its users were being set.
        if (!(error instanceof EngineNotRunning)) throw error;
        throw new StartFailed(
          this.#xray.unwanted.aborted ? "stopped while xray was starting" : `failed to start xray: ${error.message}`,
        );
      }
    });
  }

  stop(): Promise<void> {
    return this.#xray.stop();
  }

  close(): Promise<void> {
    return this.#outlives ? this.#xray.leave() : this.stop();
  }

  async updateUsers(users: readonly User[]): Promise<UsersOutcome> {
    this.#requireRunning();
    return this.#xray.inTurn(() => this.#sync(users, false));
  }

  async replaceUsers(users: readonly User[]): Promise<UsersOutcome> {
    this.#requireRunning();
    return this.#xray.inTurn(() => this.#sync(users, true));
  }

  knows(kind: TrafficKind, name: string): boolean {
    if (this.#xray.plan === undefined) return false;
    const { config, table } = this.#xray.plan;
    if (kind === "user") return table.has(name) || config.writtenUsers.has(name);
    return (kind === "inbound" ? config.inboundTags : config.outboundTags).has(name);
  }

  async readTraffic(kind?: TrafficKind): Promise<TrafficReading> {
    const running = this.#requireRunning();
    const reading = await readTraffic(running, kind, 30_000);
    // The last look was on its way together with this one: it holds these bytes, and may have been taken before.
    if (this.#xray.running !== running) throw new EngineNotRunning("core is not started yet");
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

  async onlineNames(): Promise<ReadonlySet<string> | undefined> {
    return readAllOnline(this.#requireRunning().api);
  }

  async latencies(): Promise<Latency[] | undefined> {
    const { api } = this.#requireRunning();
    return this.#xray.plan && readLatencies(api, this.#xray.plan.config);
  }

  tryProgram(program: EngineProgram): Promise<void> {
    return this.#xray.inTurn(async () => {
      if (this.#xray.plan !== undefined) await this.#xray.test(withProgram(this.#xray.plan, program));
    });
  }

  useProgram(program: EngineProgram, { restart }: { restart: boolean }): Promise<boolean> {
    return this.#xray.inTurn(async () => {
      const plan = restart ? this.#xray.plan : undefined;
      if (plan !== undefined) await this.#xray.replace({ ...withProgram(plan, program), id: randomUUID() });
      this.#program = { ...this.#program, ...program };
      return plan !== undefined;
    });
  }

  #readConfig({ text, excludeInbounds }: XrayConfig["source"], routing?: RoutingState): XrayConfig {
    const options = { apiSocket: this.#apiSocket, countOnline: this.#countOnline };
    return readXrayConfig(text, { ...options, excludeInbounds, ...(routing && { routing }) });
  }

  #requirePlan(): { api: XrayApi; plan: Plan } {
    const { api } = this.#requireRunning();
    if (this.#xray.plan === undefined) throw new EngineNotRunning("core is not started yet");
    return { api, plan: this.#xray.plan };
  }

  #requireRunning(): RunningXray {
    if (this.#xray.running === undefined || this.#xray.state !== "running")
      throw new EngineNotRunning("core is not started yet");
    return this.#xray.running;
  }

  async #sync(users: readonly User[], replace: boolean): Promise<UsersOutcome> {
    const { plan } = this.#requirePlan();
    const { changes, skipped, rejected } = await plan.table.diff(users, replace);
    try {
      const refused = await this.#apply(changes);
      return { skipped, rejected: [...rejected, ...refused], kick: this.connections?.lost(lossesBy(changes, plan)) };
    } catch (error) {
      // Those who are gone already would not be among the changes when this is asked for again.
      this.connections?.lost(lossesBy(changes, plan));
      throw error;
    }
  }

  /** Applies changes to the users of the plan in force; returns whom Xray refused. */
  async #apply(changes: readonly AccountChange[]): Promise<RejectedUser[]> {
    const running = this.#requireRunning();
    const { api, plan } = this.#requirePlan();
    return this.#xray.inForce.changeAccounts(plan, changes, async () => {
      const rest = await applyInBulk(api, plan, changes, this.#xray.timeoutMs).catch(async (error) => {
        await this.#xray.startAgain(running);
        throw error instanceof StepFailed ? new EngineUnreachable(error.message) : error;
      });
      return applyChanges(api, plan.table, rest, this.#xray.unwanted);
    });
  }

  /** Changes what runs into this config, where Xray can without a restart; else undefined, and nothing was touched. */
  async #changeLive(config: XrayConfig, users: readonly User[], keepAlive: bigint): Promise<UsersOutcome | undefined> {
    const running = this.#xray.running;
    const before = this.#xray.plan;
    if (running === undefined || before === undefined) return undefined;
    const change = await prepareLiveChange(before, config, users, {
      test: (plan, clientsOf) => this.#xray.test(plan, clientsOf),
      timeoutMs: this.#xray.timeoutMs,
    });
    // It may have gone away meanwhile.
    if (change === undefined || this.#xray.running !== running) return undefined;
    if (this.#xray.unwanted.aborted) throw new StartFailed("stopped while the config was being changed");
    await running.openSockets(config.sockets);
    try {
      await this.#xray.inForce.changeInto({ ...change.plan, keepAlive }, () => change.take(running.api));
    } catch (error) {
      if (!(error instanceof StepFailed && error.restored)) await this.#xray.startAgain(running);
      // Balancers that came back choose by themselves.
      else await restoreOverrides(running.api, before.config.routing).catch(() => undefined);
      await this.#xray.inForce.keep();
      throw new StartFailed(`failed to start xray: ${error instanceof Error ? error.message : error}`);
    }
    const { skipped, rejected } = change.outcome;
    const refused = await this.#apply(change.changes);
    const kick = this.connections?.lost(await lossesByChange(before, change));
    return { skipped, rejected: [...rejected, ...refused], kick };
  }
}

function withProgram(plan: Plan, program: EngineProgram): Plan {
  return { ...plan, program: { ...plan.program, ...program } };
}
