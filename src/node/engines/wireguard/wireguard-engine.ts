import { create } from "@bufbuild/protobuf";
import {
  type BackendStatsResponse,
  BackendStatsResponseSchema,
  type Latency,
  type User,
} from "../../../../gen/service/node_pb.ts";
import type {
  Engine,
  EngineState,
  OnlineAddresses,
  StartRequest,
  TrafficKind,
  TrafficReading,
  UsersOutcome,
} from "../engine.ts";
import { EngineNotRunning, StartFailed } from "../engine-error.ts";
import { readWireGuardConfig, type WireGuardConfig } from "./config.ts";
import { createHostRouting } from "./host/host-routing.ts";
import { createLatencyProbe, type LatencyProbe } from "./host/latency-probe.ts";
import type { Plan } from "./kept-plan.ts";
import type { LiveInterface } from "./live-interface.ts";
import { Supervision, type SupervisionOptions } from "./supervision.ts";
import { PeerTable } from "./users.ts";
import type { WireGuardSettings } from "./wireguard-variables.ts";

/** Options of {@link createWireGuardEngine}. */
export type WireGuardEngineOptions = SupervisionOptions & Omit<WireGuardSettings, "sampleSeconds">;

/** Makes an engine that runs WireGuard; nothing runs before its first start. */
export function createWireGuardEngine(options: WireGuardEngineOptions): Engine {
  return new WireGuardEngine(options);
}

/** So old may be what is told of who is online: a panel asks of one user after the other. */
const onlineAgeMs = 1_000;

class WireGuardEngine implements Engine {
  /** Of its one inbound WireGuard counts nothing that it does not count of the interface. */
  readonly counts: ReadonlySet<TrafficKind> = new Set(["user", "outbound"]);
  readonly routing = undefined;
  /** Connections end with the peer. */
  readonly connections = undefined;
  readonly #supervision: Supervision;
  readonly #probe: LatencyProbe;

  constructor(options: WireGuardEngineOptions) {
    const { hostRouting: settings, egressInterface, runDir: owner, tools, now } = options;
    const say = (note: string) => this.#supervision.voice.say(note);
    this.#supervision = new Supervision(options, createHostRouting({ settings, egressInterface, owner, tools, say }));
    this.#probe = createLatencyProbe({ egressInterface, tools, now });
  }

  get state(): EngineState {
    return this.#supervision.state;
  }

  get version(): string {
    return this.#supervision.version;
  }

  async recover(): Promise<{ readonly keepAlive: bigint } | undefined> {
    return this.#supervision.recover();
  }

  start({ config: text, users, keepAlive = 0n }: StartRequest): Promise<UsersOutcome> {
    const supervision = this.#supervision;
    return supervision.inTurn(async () => {
      const config = readWireGuardConfig(text);
      const { live } = supervision;
      if (live?.config.interfaceName === config.interfaceName)
        return this.#changeInto(live, { config, table: PeerTable.succeeding(live.table, config), keepAlive }, users);
      const plan = { config, table: new PeerTable(config), keepAlive };
      // While WireGuard starts: thousands of users take as long.
      const outcome = fill(plan.table, users);
      await supervision.replace(plan, outcome);
      return outcome;
    });
  }

  stop(): Promise<void> {
    return this.#supervision.stop();
  }

  close(): Promise<void> {
    return this.#supervision.close();
  }

  updateUsers(users: readonly User[]): Promise<UsersOutcome> {
    return this.#setUsers(users, false);
  }

  replaceUsers(users: readonly User[]): Promise<UsersOutcome> {
    return this.#setUsers(users, true);
  }

  knows(kind: TrafficKind, name: string): boolean {
    const { plan } = this.#supervision;
    if (plan === undefined) return false;
    return kind === "user" ? plan.table.has(name) : name === plan.config.interfaceName;
  }

  async readTraffic(kind?: TrafficKind): Promise<TrafficReading> {
    const live = this.#requireLive();
    const { incarnation, counters } = await live.traffic.sample();
    // What was told last of it holds these bytes.
    if (this.#supervision.live !== live) throw notRunning();
    return { incarnation, counters: counters.filter((counter) => kind === undefined || counter.kind === kind) };
  }

  /** Empty for somebody who was never connected. */
  async online(email: string): Promise<OnlineAddresses> {
    const live = this.#requireLive();
    await live.traffic.lookedAt(onlineAgeMs);
    return live.traffic.counters.online(email);
  }

  async onlineNames(): Promise<ReadonlySet<string>> {
    const live = this.#requireLive();
    await live.traffic.lookedAt(onlineAgeMs);
    return live.traffic.counters.onlineNames();
  }

  /** The node's own: WireGuard measures nothing of itself. */
  async sysStats(): Promise<BackendStatsResponse> {
    this.#requireLive();
    const { heapUsed, rss } = process.memoryUsage();
    const uptime = this.#supervision.uptimeSeconds;
    return create(BackendStatsResponseSchema, { alloc: BigInt(heapUsed), sys: BigInt(rss), uptime });
  }

  async latencies(): Promise<Latency[]> {
    const { probeUrl: url, probeTimeoutMs: timeoutMs } = this.#requireLive().config;
    return this.#probe({ url, timeoutMs, signal: this.#supervision.unwanted });
  }

  #requireLive(): LiveInterface {
    const { live, state } = this.#supervision;
    if (live === undefined || state !== "running") throw notRunning();
    return live;
  }

  async #setUsers(users: readonly User[], replace: boolean): Promise<UsersOutcome> {
    this.#requireLive();
    return this.#supervision.inTurn(async () => {
      const live = this.#requireLive();
      const { plan } = this.#supervision;
      if (plan === undefined) throw notRunning();
      return this.#sync(live, plan, users, replace);
    });
  }

  async #sync(live: LiveInterface, plan: Plan, users: readonly User[], replace: boolean): Promise<UsersOutcome> {
    const { differences, comeAndGone, skipped, rejected } = await live.table.diff(users, replace);
    try {
      const refused = await live.apply(differences);
      return { skipped, rejected: [...rejected, ...refused] };
    } finally {
      if (live.traffic.hasLeaving) this.#supervision.buryLater(live);
      const emails = differences.map(({ before, after }) => (after ?? before)?.email ?? "");
      await this.#supervision.keeper.changed(plan, [...comeAndGone.union(new Set(emails))], () =>
        live.traffic.counters.kept(),
      );
    }
  }

  /** Changes what stands into another config of the same interface: all of it can be changed without a restart. */
  async #changeInto(live: LiveInterface, plan: Plan, users: readonly User[]): Promise<UsersOutcome> {
    const { config: before, table: tableBefore } = live;
    if (!isSame(before, plan.config) || live.isConfigUnsure) {
      await this.#supervision.keeper.disturb();
      try {
        await live.changeConfig(plan.config, plan.table);
      } catch (error) {
        await live
          .changeConfig(before, tableBefore)
          .catch((failure: unknown) =>
            this.#supervision.voice.say(`the config before cannot be brought back: ${failure}`),
          );
        throw new StartFailed(`failed to start wireguard: ${error instanceof Error ? error.message : error}`);
      }
    } else live.use(plan.config, plan.table);
    // It is in force whatever becomes of its users.
    await this.#supervision.adopt(plan);
    return this.#sync(live, plan, users, true);
  }
}

/** Has a table of nobody hold these users, and tells who cannot be on it. */
async function fill(table: PeerTable, users: readonly User[]): Promise<UsersOutcome> {
  const { differences, skipped, rejected } = await table.diff(users, true);
  for (const difference of differences) table.settle(difference);
  return { skipped, rejected };
}

function notRunning(): EngineNotRunning {
  return new EngineNotRunning("core is not started yet");
}

/** Whether two configs make the same of an interface. */
function isSame(one: WireGuardConfig, other: WireGuardConfig): boolean {
  const essence = ({ privateKey, preSharedKey, listenPort, addresses }: WireGuardConfig) =>
    JSON.stringify([privateKey, preSharedKey, listenPort, addresses.map(({ address }) => address)]);
  return essence(one) === essence(other);
}
