import { create } from "@bufbuild/protobuf";
import { BackendStatsResponseSchema, type Latency, type User } from "../../gen/service/node_pb.ts";
import type {
  Engine,
  EngineEvents,
  EngineState,
  OnlineAddresses,
  TrafficCounter,
  TrafficKind,
  UsersOutcome,
} from "../../src/node/engines/engine.ts";
import {
  ConfigRefused,
  EngineNotRunning,
  EngineUnreachable,
  StartFailed,
} from "../../src/node/engines/engine-error.ts";

/**
 * An engine whose program lives in memory: what a test does to the program (hold its start, kill it, let it carry
 * bytes) is what a real one does only by chance. Its config is a JSON object `{inbounds: [tag], outbounds: [tag]}`.
 */
export interface MemoryEngine extends Engine {
  /** The users that the program has, by e-mail. */
  readonly users: ReadonlyMap<string, User>;
  /** How often the program was started. */
  readonly starts: number;
  /** Starts take until the returned function is called, and fail when it is called with a reason. */
  holdStarts(): (failure?: string) => void;
  /** The program carries bytes. */
  carry(counter: Omit<TrafficCounter, "link">): void;
  /** The program dies, and comes back when the returned function is called. */
  kill(): () => void;
  /** The program stays up but answers nothing until the returned function is called. */
  hang(): () => void;
  /** Users whose e-mail begins with this are refused by the program. */
  refuse: string;
  /** Where users are connected from, by e-mail. */
  readonly connected: Map<string, OnlineAddresses>;
  /** What was measured of outbounds, if any are. */
  measured: Latency[] | undefined;
  /** The program writes a line. */
  print(line: string): void;
}

/** Makes an engine that is stopped. `counts` says what it counts the traffic of; default: all kinds. */
export function createMemoryEngine(
  events: EngineEvents,
  counts: readonly TrafficKind[] = ["user", "inbound", "outbound"],
): MemoryEngine {
  let state: EngineState = "stopped";
  let life = 0;
  let unreachable = false;
  let hold: Promise<string | undefined> = Promise.resolve(undefined);
  let aborted = Promise.withResolvers<string>();
  let tags = { inbounds: [] as string[], outbounds: [] as string[] };
  const users = new Map<string, User>();
  const traffic = new Map<string, TrafficCounter>();

  const enter = (next: EngineState) => {
    state = next;
    events.stateChanged(next);
  };
  const reading = () => ({ incarnation: `life ${life}`, counters: [...traffic.values()] });
  const running = () => {
    if (state !== "running") throw new EngineNotRunning("the program is not running");
    if (unreachable) throw new EngineUnreachable("the program does not answer");
  };
  const apply = (changed: readonly User[]): UsersOutcome => {
    const refused = changed.filter((user) => engine.refuse !== "" && user.email.startsWith(engine.refuse));
    for (const user of changed) {
      if (refused.includes(user)) continue;
      if (user.inbounds.length > 0) users.set(user.email, user);
      else users.delete(user.email);
    }
    const rejected = refused.map(({ email }) => ({ email, inbound: "in", reason: `User ${email} is unwelcome.` }));
    return { skipped: [], rejected };
  };

  const engine: MemoryEngine = {
    get state() {
      return state;
    },
    get version() {
      return life === 0 ? "" : "1.2.3";
    },
    users,
    get starts() {
      return life;
    },
    refuse: "",
    counts: new Set(counts),
    routing: undefined,
    connections: undefined,
    connected: new Map(),
    measured: undefined,
    async recover() {
      return undefined;
    },
    async start(request) {
      const config = parseConfig(request.config);
      if (state === "running" && JSON.stringify(config) === JSON.stringify(tags)) {
        users.clear();
        return apply(request.users);
      }
      const before = state;
      enter(before === "running" ? "restarting" : "starting");
      const failure = await Promise.race([hold, aborted.promise]);
      if (failure !== undefined) {
        enter(before === "running" ? "running" : "stopped");
        throw new StartFailed(failure);
      }
      if (before === "running") events.drained(reading());
      traffic.clear();
      users.clear();
      life += 1;
      tags = config;
      const outcome = apply(request.users);
      enter("running");
      return outcome;
    },
    async stop() {
      aborted.resolve("stopped while it started");
      aborted = Promise.withResolvers();
      if (state === "running") events.drained(reading());
      traffic.clear();
      users.clear();
      tags = { inbounds: [], outbounds: [] };
      if (state !== "stopped") enter("stopped");
    },
    async updateUsers(changed) {
      running();
      return apply(changed);
    },
    async replaceUsers(all) {
      running();
      users.clear();
      return apply(all);
    },
    knows(kind, name) {
      return kind === "user" ? users.has(name) : tags[`${kind}s`].includes(name);
    },
    async readTraffic(kind) {
      running();
      const { incarnation, counters } = reading();
      return { incarnation, counters: counters.filter((counter) => kind === undefined || counter.kind === kind) };
    },
    async sysStats() {
      running();
      return create(BackendStatsResponseSchema, { numGoroutine: 7, uptime: 42 });
    },
    async online(email) {
      running();
      return engine.connected.get(email);
    },
    async onlineNames() {
      running();
      return new Set(engine.connected.keys());
    },
    async latencies() {
      running();
      return engine.measured;
    },
    close: () => engine.stop(),
    holdStarts() {
      const held = Promise.withResolvers<string | undefined>();
      hold = held.promise;
      return held.resolve;
    },
    carry(counter) {
      const key = `${counter.kind} ${counter.name}`;
      const before = traffic.get(key) ?? { uplinkBytes: 0n, downlinkBytes: 0n };
      traffic.set(key, {
        ...counter,
        link: counts.includes("inbound") ? "traffic" : "key",
        uplinkBytes: before.uplinkBytes + counter.uplinkBytes,
        downlinkBytes: before.downlinkBytes + counter.downlinkBytes,
      });
    },
    kill() {
      traffic.clear();
      enter("restarting");
      events.exited({ incarnation: `life ${life}`, code: null, signal: "SIGKILL", lastLines: [], restartInMs: 0 });
      return () => {
        life += 1;
        enter("running");
        events.restarted(`life ${life}`);
      };
    },
    hang() {
      unreachable = true;
      return () => {
        unreachable = false;
      };
    },
    print: events.line,
  };
  return engine;
}

function parseConfig(text: string): { inbounds: string[]; outbounds: string[] } {
  try {
    return { inbounds: [], outbounds: [], ...JSON.parse(text) };
  } catch (error) {
    throw new ConfigRefused(`config: ${error instanceof Error ? error.message : error}`);
  }
}
