import { randomUUID } from "node:crypto";
import type { MtProtoServiceConfig } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { createInTurn } from "../../../platform/in-turn.ts";
import { bootId, startTicks } from "../../../platform/proc.ts";
import type {
  CountedEngine,
  EngineEvents,
  EngineState,
  Incarnation,
  OnlineAddresses,
  TrafficCounter,
  TrafficKind,
  TrafficReading,
  UsersOutcome,
} from "../engine.ts";
import { EngineUnreachable, StartFailed } from "../engine-error.ts";
import { endRecorded, recordedProcess } from "../process/process-record.ts";
import { emailOf, type InboundConfig, readConfig } from "./config.ts";
import { allFiles } from "./files.ts";
import { Supervision, type SupervisionOptions } from "./supervision.ts";

/**
 * The engine of MTProto: a telemt of its own for every inbound, since it is told apart by nothing else on which inbound
 * somebody has used what. Users are named `<nodeProtocolId>.<link UUID>`, as in Xray.
 *
 * Its counters live as long as this engine does, whatever becomes of telemt: what an unplanned end of its process takes
 * along is what was counted since the last reading. It counts users only.
 */
export interface MtProtoEngine extends CountedEngine {
  /**
   * Runs these inbounds with exactly these users, and nothing else; resolves when telemt does. Users come, change and go
   * without that anybody else notices; an inbound whose port, modes, domains or settings have changed is started anew.
   *
   * Throws {@link ConfigRefused} when nothing was touched. Throws {@link StartFailed}, `PortInUse` among them, and
   * {@link ApplyTimedOut} when an inbound does not follow: then what was in force before is in force again, on all of
   * them.
   */
  apply(config: MtProtoServiceConfig): Promise<MtProtoOutcome>;
  /** Runs nothing any more. What was counted can still be read. */
  stop(): Promise<void>;
  /** Who is connected, and from where. Throws like {@link CountedEngine.readTraffic}. */
  onlineUsers(): Promise<ReadonlyMap<string, OnlineAddresses>>;
}

/** What became of a config that is in force. */
interface MtProtoOutcome extends Pick<UsersOutcome, "skipped"> {
  /** The inbounds that ran before and were started anew, by their ids: all connections to them have ended. */
  readonly restarted: readonly string[];
}

/** Options of {@link createMtProtoEngine}. */
export interface MtProtoEngineOptions extends Omit<SupervisionOptions, "events" | "changed"> {
  readonly events: EngineEvents;
}

/** Makes an engine that runs telemt; nothing runs before something is applied. */
export function createMtProtoEngine(options: MtProtoEngineOptions): MtProtoEngine {
  return new TelemtEngine(options);
}

type Inbounds = ReadonlyMap<string, InboundConfig>;

class TelemtEngine implements MtProtoEngine {
  readonly #options: MtProtoEngineOptions;
  readonly #incarnation: Incarnation = `${bootId()}/${process.pid}/${startTicks(process.pid)}/${randomUUID()}`;
  /** By inbound, of all that were ever run. */
  readonly #telemts = new Map<string, Supervision>();
  #toldState: EngineState = "stopped";
  #recovered = false;
  readonly #inTurn = createInTurn();
  #unwanted = new AbortController();

  constructor(options: MtProtoEngineOptions) {
    this.#options = options;
  }

  get state(): EngineState {
    const states = new Set(Array.from(this.#telemts.values(), ({ state }) => state));
    return (["restarting", "starting", "running"] as const).find((state) => states.has(state)) ?? "stopped";
  }

  get version(): string {
    return Array.from(this.#telemts.values(), ({ version }) => version).findLast((version) => version !== "") ?? "";
  }

  async apply(config: MtProtoServiceConfig): Promise<MtProtoOutcome> {
    const { inbounds, skipped } = readConfig(config);
    const { signal } = this.#unwanted;
    return this.#inTurn(async () => {
      await this.#endLeftovers();
      const before = this.#inForce();
      try {
        const started = await this.#changeInto(inbounds, signal);
        return { skipped, restarted: started.filter((id) => before.has(id)) };
      } catch (error) {
        if (!signal.aborted) await this.#restore(before);
        throw error;
      }
    });
  }

  async stop(): Promise<void> {
    this.#unwanted.abort();
    this.#unwanted = new AbortController();
    // What is under way is in vain.
    const stopping = Array.from(this.#telemts.values(), (telemt) => telemt.stop());
    await Promise.all([...stopping, this.#inTurn(async () => undefined)]);
  }

  async close(): Promise<void> {
    await this.stop();
    this.#options.events.drained(this.#reading());
  }

  async readTraffic(kind?: TrafficKind): Promise<TrafficReading> {
    const running = this.#running();
    const outcomes = await Promise.allSettled(running.map((telemt) => telemt.count()));
    // One that does not answer keeps its bytes until it does; the others are not to wait for it.
    const failures = outcomes.filter((outcome) => outcome.status === "rejected");
    if (running.length > 0 && failures.length === running.length) throw new EngineUnreachable(`${failures[0]?.reason}`);
    return kind === undefined || kind === "user" ? this.#reading() : { incarnation: this.#incarnation, counters: [] };
  }

  async online(email: string): Promise<OnlineAddresses | undefined> {
    return (await this.onlineUsers()).get(email);
  }

  async onlineUsers(): Promise<ReadonlyMap<string, OnlineAddresses>> {
    const online = new Map<string, OnlineAddresses>();
    for (const [inbound, telemt] of this.#telemts) {
      if (telemt.state !== "running") continue;
      for (const [name, addresses] of await telemt.online()) online.set(emailOf(inbound, name), addresses);
    }
    return online;
  }

  #inForce(): Inbounds {
    const inbounds = new Map<string, InboundConfig>();
    for (const [id, { config }] of this.#telemts) if (config !== undefined) inbounds.set(id, config);
    return inbounds;
  }

  /**
   * What ends nobody's connections comes first, so that nothing has ended when that fails. Returns what was started
   * anew.
   */
  async #changeInto(inbounds: Inbounds, signal: AbortSignal): Promise<string[]> {
    const run = async (id: string, config: InboundConfig) => {
      if (signal.aborted) throw new StartFailed("stopped while telemt was changed");
      await this.#telemtOf(id).run(config);
    };
    const changesLive = ([id, config]: [string, InboundConfig]) =>
      this.#telemts.get(id)?.canChangeInto(config) === true;
    const [live, anew] = [[...inbounds].filter(changesLive), [...inbounds].filter((each) => !changesLive(each))];
    for (const [id, config] of live) await run(id, config);
    for (const id of this.#inTheWayOf(inbounds)) await this.#telemtOf(id).stop();
    for (const [id, config] of anew) await run(id, config);
    return anew.map(([id]) => id);
  }

  /** Inbounds that are not to run any more, and those that have the port of another one. */
  #inTheWayOf(inbounds: Inbounds): string[] {
    const idOfPort = new Map(Array.from(inbounds, ([id, { port }]) => [port, id]));
    const inTheWay = ([id, { port }]: [string, InboundConfig]) =>
      !inbounds.has(id) || (idOfPort.get(port) ?? id) !== id;
    return [...this.#inForce()].filter(inTheWay).map(([id]) => id);
  }

  async #restore(inbounds: Inbounds): Promise<void> {
    for (const id of this.#inTheWayOf(inbounds)) await this.#telemtOf(id).stop();
    for (const [id, config] of inbounds) await this.#telemtOf(id).restore(config);
  }

  #telemtOf(id: string): Supervision {
    const known = this.#telemts.get(id);
    if (known !== undefined) return known;
    const telemt = new Supervision(id, { ...this.#options, changed: () => this.#tellState() });
    this.#telemts.set(id, telemt);
    return telemt;
  }

  #running(): Supervision[] {
    return [...this.#telemts.values()].filter(({ state }) => state === "running");
  }

  #reading(): TrafficReading {
    const counters: TrafficCounter[] = [];
    for (const [inbound, telemt] of this.#telemts)
      for (const { name, ...bytes } of telemt.totals())
        counters.push({ kind: "user", name: emailOf(inbound, name), link: "traffic", ...bytes });
    return { incarnation: this.#incarnation, counters };
  }

  /** Ends what an earlier process of this node has left, which would have the ports. */
  async #endLeftovers(): Promise<void> {
    if (this.#recovered) return;
    for (const { record } of await allFiles(this.#options.runDir)) {
      const left = await recordedProcess(record);
      if (left === undefined) continue;
      this.#options.events.line(`[garrison] ends the telemt that the last run has left, process ${left.pid}`);
      await endRecorded(left, leftoverGraceMs);
    }
    this.#recovered = true;
  }

  #tellState(): void {
    if (this.state === this.#toldState) return;
    this.#toldState = this.state;
    this.#options.events.stateChanged(this.state);
  }
}

const leftoverGraceMs = 5_000;
