import { create } from "@bufbuild/protobuf";
import type { KickUsersRequest, KickUsersResponse } from "../../../gen/garrison/node/v1/connections_pb.ts";
import {
  type Backend,
  type BackendStatsResponse,
  BackendType,
  type BaseInfoResponse_Kick,
  type Latency,
  type SystemStatsResponse,
  SystemStatsResponseSchema,
  type User,
} from "../../../gen/service/node_pb.ts";
import type { Delivery } from "../../platform/listener/delivery.ts";
import type { Logger } from "../../platform/telemetry/log.ts";
import type {
  Engine,
  EngineEvents,
  OnlineAddresses,
  TrafficCounter,
  TrafficKind,
  UsersOutcome,
} from "../engines/engine.ts";
import { EngineNotRunning, EngineUnreachable } from "../engines/engine-error.ts";
import type { EngineRouting } from "../engines/routing.ts";
import type { Clock } from "./clock.ts";
import { createKeepAlive } from "./keep-alive.ts";
import type { CounterKeeper } from "./kept-counters.ts";
import { followKicks, type KickResult } from "./kick-result.ts";
import { readLatencies } from "./latencies.ts";
import type { LogRing } from "./log-ring.ts";
import { shareRuns } from "./share-runs.ts";
import {
  BackendNotInitialized,
  CoreNotStarted,
  KickUnavailable,
  RoutingUnsupported,
  SysStatsFailed,
  TrafficTargetUnknown,
  UnknownBackendType,
  UserNeverOnline,
  UsersRejected,
} from "./situations.ts";
import type { SystemStats } from "./system-stats.ts";
import { tellOutcome } from "./tell-outcome.ts";
import { createVirtualCounters } from "./virtual-counters.ts";

/** Options of {@link createRuntime}. */
export interface RuntimeOptions {
  /** Makes the engine that this node runs; it tells its events to the runtime. */
  createEngine: (events: EngineEvents) => Engine;
  clock: Clock;
  /** Where the engine's lines go, and viewers read them. */
  lines: LogRing;
  /** Measures of this machine. The runtime closes it. */
  system: SystemStats;
  /** How much longer a silent caller's backend runs than `keep_alive` says; infinite: it is never stopped for that. */
  keepAliveGraceMs?: number;
  /** Where the counters are kept that outlive this process; undefined: nowhere. The runtime closes it. */
  counterKeeper?: CounterKeeper | undefined;
  /** So many live connections of users were cut. */
  onCut?: ((connections: number) => void) | undefined;
  /** So many users were left out of inbounds for this reason. */
  onSkipped?: ((reason: string, users: number) => void) | undefined;
  log: Logger;
}

/**
 * The engine as its callers share it. Calls that need a running engine throw {@link BackendNotInitialized} or
 * {@link CoreNotStarted} without one, and whatever the engine throws.
 */
export interface Runtime {
  /**
   * Whether the engine answers, and its version: empty when no backend was started. And whether connections can be cut;
   * undefined when they are left alone.
   */
  readonly info: {
    readonly started: boolean;
    readonly coreVersion: string;
    readonly kick: BaseInfoResponse_Kick | undefined;
  };
  /** Takes up what an earlier process of this node has left; see {@link Engine.recover}. */
  recover(): Promise<void>;
  /**
   * Starts the engine, or changes what it runs; see {@link Engine.start}. Goes on when the caller leaves.
   *
   * Throws {@link UnknownBackendType}.
   */
  start(backend: Backend): Promise<UsersChanged>;
  /** Stops the engine. Bytes that were not read yet are kept. Throws {@link BackendNotInitialized} without one. */
  stop(): Promise<void>;
  /** Sets these users. Throws {@link UsersRejected} after all others were set. */
  updateUsers(users: readonly User[]): Promise<UsersChanged>;
  /** Sets these users and removes all others. Throws {@link UsersRejected} after all others were set. */
  replaceUsers(users: readonly User[]): Promise<UsersChanged>;
  /**
   * Bytes counted since the last reset. A reset takes effect once its reply is delivered. Until then nobody else is
   * shown the bytes; when the reply is lost, the next caller has them again.
   *
   * Throws {@link TrafficTargetUnknown} for a name that neither config nor users have, unless bytes of it are unread.
   */
  traffic(query: TrafficQuery, reply: Delivery): Promise<TrafficCounter[]>;
  /** Measures of the engine's process. */
  engineStats(): Promise<BackendStatsResponse>;
  /** Where a user is connected from. Throws {@link UserNeverOnline}. */
  online(email: string): Promise<OnlineAddresses>;
  /**
   * What the engine measured of its outbounds, sorted by name; with a name: of this one, if it is measured. Throws
   * {@link LatencyUnavailable}.
   */
  latencies(name?: string): Promise<Latency[]>;
  /** Cuts connections of users; see {@link EngineConnections.kick}. Throws {@link KickUnavailable}. */
  kick(request: Pick<KickUsersRequest, "emails" | "inbounds">): Promise<KickUsersResponse>;
  /** Asks or changes the engine's routing. Throws {@link RoutingUnsupported}. */
  routing<T>(use: (routing: EngineRouting) => Promise<T>): Promise<T>;
  /** Measures of this machine, and the engine's uptime: 0 when it does not tell. */
  systemStats(): Promise<SystemStatsResponse>;
  /**
   * The engine's recent lines, then every new one, until the caller leaves or the backend is stopped. They go on when
   * the engine restarts.
   */
  followLog(caller: AbortSignal): AsyncIterable<string>;
  /** Returns while the engine answers, and throws what the other calls throw while it does not. */
  requireRunning(): void;
  /** A caller was served: `keep_alive` counts from now. */
  touch(): void;
  /** See {@link Engine.tryProgram}. */
  tryProgram: Engine["tryProgram"];
  /** See {@link Engine.useProgram}. */
  useProgram: Engine["useProgram"];
  /** Stops the engine for good. */
  close(): Promise<void>;
}

/** Users are as they were asked to be. */
export interface UsersChanged {
  /** What becomes of the connections of those who lost an inbound. Undefined when nobody did. Never rejects. */
  readonly kick: Promise<KickResult> | undefined;
}

/** Which counters are read, and whether they start from zero again. */
export interface TrafficQuery {
  readonly kind: TrafficKind;
  /** Undefined: all. */
  readonly name: string | undefined;
  readonly reset: boolean;
}

const ownWords = "[garrison] ";

/** Makes a runtime whose engine is not started. */
export function createRuntime(options: RuntimeOptions): Runtime {
  const { clock, lines, system, log } = options;
  const keeper = options.counterKeeper;
  const counters = createVirtualCounters({
    initial: keeper?.initial,
    changed: keeper && ((changed) => keeper.note(changed, counters.state)),
  });
  const engine = options.createEngine({
    line(text) {
      lines.push(text);
      // What is said of its running, and not by it, is for the operator as well.
      if (text.startsWith(ownWords)) log.warn(text.slice(ownWords.length));
    },
    stateChanged(state) {
      log.info({ state }, "engine");
      if (state === "stopped") lines.end();
    },
    exited: ({ code, signal, restartInMs, lastLines }) => {
      log.warn({ code, signal, restartInMs }, "engine exited");
      log.debug({ lastLines }, "last lines of the engine");
    },
    restarted: () => log.info("engine is back"),
    drained: counters.observeLast,
  });
  let startsUnderWay = 0;
  const keepAlive = createKeepAlive({
    clock,
    graceMs: options.keepAliveGraceMs,
    busy: () => startsUnderWay > 0,
    expired() {
      log.warn("nobody called for longer than keep_alive allows: stopping the backend");
      engine.stop().catch((err: unknown) => log.error({ err }, "the backend could not be stopped"));
    },
  });
  const observe = {
    user: shareRuns(() => engine.readTraffic("user").then(counters.observe)),
    inbound: shareRuns(() => engine.readTraffic("inbound").then(counters.observe)),
    outbound: shareRuns(() => engine.readTraffic("outbound").then(counters.observe)),
  };

  // Panels and their replicas ask all the time, and an engine's answer costs more than a caller's.
  const sysStats = shareRuns(() => engine.sysStats());

  // A start may still wait for a stop to end.
  const isStopped = () => engine.state === "stopped" && startsUnderWay === 0;
  const requireRunning = () => {
    if (isStopped()) throw new BackendNotInitialized();
    if (engine.state !== "running") throw new CoreNotStarted();
  };
  const whileRunning = async <T>(call: () => Promise<T>): Promise<T> => {
    requireRunning();
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof EngineNotRunning)) throw error;
      requireRunning();
      throw new CoreNotStarted(); // it went away, and is back already
    }
  };

  const follow = followKicks({ log, onCut: options.onCut });
  const settle = (outcome: UsersOutcome): UsersChanged => {
    tellOutcome(options, outcome);
    const kick = follow(outcome.kick);
    if (outcome.rejected.length > 0) throw new UsersRejected(outcome.rejected);
    return { kick };
  };

  return {
    get info() {
      const started = engine.state === "running";
      const coreVersion = engine.state === "stopped" ? "" : engine.version;
      return { started, coreVersion, kick: engine.connections?.ability };
    },
    async recover() {
      const recovered = await engine.recover();
      if (recovered !== undefined) keepAlive.arm(recovered.keepAlive);
    },
    async start(backend) {
      if (backend.type !== BackendType.XRAY) throw new UnknownBackendType();
      startsUnderWay += 1;
      try {
        const outcome = await engine.start(backend);
        tellOutcome(options, outcome);
        keepAlive.arm(backend.keepAlive);
        return { kick: follow(outcome.kick) };
      } finally {
        startsUnderWay -= 1;
      }
    },
    async stop() {
      if (isStopped()) throw new BackendNotInitialized();
      keepAlive.disarm();
      await engine.stop();
    },
    updateUsers: (users) => whileRunning(() => engine.updateUsers(users).then(settle)),
    replaceUsers: (users) => whileRunning(() => engine.replaceUsers(users).then(settle)),
    traffic: ({ kind, name, reset }, reply) =>
      whileRunning(async () => {
        await observe[kind]();
        if (name !== undefined && !engine.knows(kind, name) && !counters.hasUnread(kind, name)) {
          throw new TrafficTargetUnknown(kind);
        }
        if (!reset) return counters.read(kind, name);
        const taken = counters.take(kind, name);
        reply.watch({ delivered: taken.confirm, lost: taken.giveBack });
        return taken.counters;
      }),
    engineStats: () =>
      whileRunning(() =>
        sysStats().catch((error: unknown) => {
          throw error instanceof EngineUnreachable ? new SysStatsFailed(error) : error;
        }),
      ),
    online: (email) =>
      whileRunning(async () => {
        const addresses = await engine.online(email);
        if (addresses === undefined) throw new UserNeverOnline(email);
        return addresses;
      }),
    latencies: (name) => whileRunning(() => readLatencies(engine, name)),
    async kick(request) {
      const { connections } = engine;
      if (connections === undefined) {
        throw new KickUnavailable("connections are not cut here: set GARRISON_KICK=on, and start the node again");
      }
      if (!connections.ability.available) throw new KickUnavailable(connections.ability.reason);
      const response = await whileRunning(() => connections.kick(request));
      await follow(Promise.resolve(response));
      return response;
    },
    routing: (use) =>
      whileRunning(() => {
        if (engine.routing === undefined) throw new RoutingUnsupported();
        return use(engine.routing);
      }),
    systemStats: () =>
      whileRunning(async () => {
        const uptime = await sysStats().then(
          (stats) => BigInt(stats.uptime),
          () => 0n,
        );
        return create(SystemStatsResponseSchema, { ...system.current(), uptime });
      }),
    followLog(caller) {
      requireRunning();
      return lines.follow(caller);
    },
    requireRunning,
    touch: keepAlive.touch,
    tryProgram: (program) => engine.tryProgram(program),
    useProgram: (program, options) => engine.useProgram(program, options),
    async close() {
      keepAlive.disarm();
      system.close();
      if (keeper !== undefined) await Promise.allSettled(Object.values(observe).map((look) => look()));
      await engine.close();
      await keeper?.close(counters.state());
    },
  };
}
