import { create } from "@bufbuild/protobuf";
import type { KickUsersRequest, KickUsersResponse } from "../../../gen/garrison/node/v1/connections_pb.ts";
import {
  type Backend,
  type BackendStatsResponse,
  type BackendType,
  type BaseInfoResponse_Kick,
  type Latency,
  type SystemStatsResponse,
  SystemStatsResponseSchema,
  type User,
} from "../../../gen/service/node_pb.ts";
import type { Delivery } from "../../platform/listener/delivery.ts";
import type { Logger } from "../../platform/telemetry/log.ts";
import type { Engine, OnlineAddresses, TrafficCounter, UsersOutcome } from "../engines/engine.ts";
import { EngineUnreachable } from "../engines/engine-error.ts";
import type { EngineRouting } from "../engines/routing.ts";
import { type BackendEngine, type BackendKind, createBackend } from "./backend.ts";
import type { Clock } from "./clock.ts";
import { followKicks, type KickResult } from "./kick-result.ts";
import { readLatencies } from "./latencies.ts";
import type { LogRing } from "./log-ring.ts";
import { mergedOnline } from "./online.ts";
import {
  BackendNotInitialized,
  CoreNotStarted,
  KickUnavailable,
  RoutingUnsupported,
  SysStatsFailed,
  UnknownBackendType,
  UserNeverOnline,
  UsersRejected,
} from "./situations.ts";
import type { SystemStats } from "./system-stats.ts";
import { tellOutcome } from "./tell-outcome.ts";
import { readTraffic, type TrafficQuery } from "./traffic.ts";

/** Options of {@link createRuntime}. */
export interface RuntimeOptions {
  /** The engines that can be started, each by its own Start. Where one answer is wanted of several, the first counts. */
  backends: readonly BackendKind[];
  clock: Clock;
  /** Where the engine's lines go, and viewers read them. */
  lines: LogRing;
  /** Measures of this machine. The runtime closes it. */
  system: SystemStats;
  /** How much longer a silent caller's backend runs than `keep_alive` says; infinite: it is never stopped for that. */
  keepAliveGraceMs?: number;
  /** So many live connections of users were cut. */
  onCut?: ((connections: number) => void) | undefined;
  /** So many users were left out of inbounds for this reason. */
  onSkipped?: ((reason: string, users: number) => void) | undefined;
  log: Logger;
}

/**
 * The engines as their callers share them. Calls that need a running one throw {@link BackendNotInitialized} or
 * {@link CoreNotStarted} without any, and whatever the engines throw.
 */
export interface Runtime {
  /**
   * Whether the engines that were started all answer, and their versions: empty when none was. And whether connections
   * can be cut; undefined when they are left alone.
   */
  readonly info: {
    readonly started: boolean;
    readonly coreVersion: string;
    readonly kick: BaseInfoResponse_Kick | undefined;
  };
  /** The engine of a kind, which is made when it is first asked for. Throws {@link UnknownBackendType}. */
  engine(type: BackendType): Promise<Engine>;
  /** Takes up what an earlier process of this node has left; see {@link Engine.recover}. */
  recover(): Promise<void>;
  /**
   * Starts the engine of a kind, or changes what it runs; see {@link Engine.start}. Others run on as they do. Goes on
   * when the caller leaves.
   *
   * Throws {@link UnknownBackendType}.
   */
  start(backend: Backend): Promise<UsersChanged>;
  /** Stops all engines. Bytes that were not read yet are kept. Throws {@link BackendNotInitialized} without one. */
  stop(): Promise<void>;
  /**
   * Sets these users on every engine: each looks for its own inbounds among theirs. Throws {@link UsersRejected} after
   * all others were set; so it does when one of several engines does not take users now.
   */
  updateUsers(users: readonly User[]): Promise<UsersChanged>;
  /** Like {@link updateUsers}, and removes all others. */
  replaceUsers(users: readonly User[]): Promise<UsersChanged>;
  /**
   * Bytes counted since the last reset. A reset takes effect once its reply is delivered. Until then nobody else is
   * shown the bytes; when the reply is lost, the next caller has them again.
   *
   * Throws {@link TrafficTargetUnknown} for a name that neither config nor users have, unless bytes of it are unread, and
   * {@link TrafficNotCounted}.
   */
  traffic(query: TrafficQuery, reply: Delivery): Promise<TrafficCounter[]>;
  /** Measures of an engine's process. */
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
  /** Stops the engines for good. */
  close(): Promise<void>;
}

/** Users are as they were asked to be. */
export interface UsersChanged {
  /** What becomes of the connections of those who lost an inbound. Undefined when nobody did. Never rejects. */
  readonly kick: Promise<KickResult> | undefined;
}

/** Makes a runtime whose engines are not started. */
export function createRuntime(options: RuntimeOptions): Runtime {
  const { clock, lines, system, log, keepAliveGraceMs } = options;
  const all: readonly BackendEngine[] = options.backends.map((kind) =>
    createBackend({
      ...{ kind, clock, keepAliveGraceMs, lines, log },
      stopped: () => {
        if (all.every(({ state }) => state === "stopped")) lines.end();
      },
    }),
  );

  const requireActive = () => {
    const active = all.filter(({ isActive }) => isActive);
    if (active.length === 0) throw new BackendNotInitialized();
    return active;
  };
  const requireRunning = () => {
    const running = requireActive().filter(({ state }) => state === "running");
    const [first] = running;
    if (first === undefined) throw new CoreNotStarted();
    return { first, running };
  };
  const backendOf = (type: BackendType) => {
    const backend = all.find((each) => each.type === type);
    if (backend === undefined) throw new UnknownBackendType();
    return backend;
  };

  const follow = followKicks({ log, onCut: options.onCut });
  /** Has every engine set users; none is kept from it by what another one says. */
  const setUsers = async (set: (engine: Engine) => Promise<UsersOutcome>): Promise<UsersChanged> => {
    const active = requireActive();
    const settled = await Promise.allSettled(active.map((backend) => backend.whileRunning(set)));
    const outcomes = settled.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    for (const outcome of outcomes) tellOutcome(options, outcome, { isTold: true });
    const [kick] = outcomes.flatMap((outcome) => follow(outcome.kick) ?? []);
    const failed = settled.find((each) => each.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    const rejected = outcomes.flatMap((outcome) => outcome.rejected);
    if (rejected.length > 0) throw new UsersRejected(rejected);
    return { kick };
  };
  const firstStats = async () => requireRunning().first.sysStats();

  return {
    get info() {
      const active = all.filter(({ state }) => state !== "stopped");
      const started = active.length > 0 && active.every(({ state }) => state === "running");
      const kick = all
        .map(({ engine }) => engine?.connections)
        .find((connections) => connections !== undefined)?.ability;
      return { started, coreVersion: versionsOf(active), kick };
    },
    engine: async (type) => backendOf(type).open(),
    async recover() {
      await Promise.all(all.map((backend) => backend.recover()));
    },
    async start(request) {
      const backend = backendOf(request.type);
      const outcome = await backend.whileStarting((engine) => engine.start(request));
      tellOutcome(options, outcome, { isTold: false });
      backend.keepAlive.arm(request.keepAlive);
      return { kick: follow(outcome.kick) };
    },
    async stop() {
      await Promise.all(
        requireActive().map(async ({ keepAlive, open }) => {
          keepAlive.disarm();
          await (await open()).stop();
        }),
      );
    },
    updateUsers: (users) => setUsers((engine) => engine.updateUsers(users)),
    replaceUsers: (users) => setUsers((engine) => engine.replaceUsers(users)),
    traffic: async (query, reply) => readTraffic(query, { all, running: requireRunning().running, log }, reply),
    engineStats: async () =>
      firstStats().catch((error: unknown) => {
        throw error instanceof EngineUnreachable ? new SysStatsFailed(error) : error;
      }),
    async online(email) {
      const { running } = requireRunning();
      const seen = await Promise.all(running.map((backend) => backend.whileRunning((engine) => engine.online(email))));
      const addresses = mergedOnline(seen);
      if (addresses === undefined) throw new UserNeverOnline(email);
      return addresses;
    },
    latencies: async (name) => readLatencies(requireRunning().running, name),
    async kick(request) {
      const cutting = all.find(({ engine }) => engine?.connections !== undefined);
      const ability = cutting?.engine?.connections?.ability;
      if (cutting === undefined || ability === undefined) {
        throw new KickUnavailable("connections are not cut here: set GARRISON_KICK=on, and start the node again");
      }
      if (!ability.available) throw new KickUnavailable(ability.reason);
      const response = await cutting.whileRunning(async ({ connections }) => connections?.kick(request));
      if (response === undefined) throw new CoreNotStarted();
      await follow(Promise.resolve(response));
      return response;
    },
    async routing(use) {
      const { first, running } = requireRunning();
      const routed = running.find(({ engine }) => engine?.routing !== undefined) ?? first;
      return routed.whileRunning(async ({ routing }) => {
        if (routing === undefined) throw new RoutingUnsupported();
        return use(routing);
      });
    },
    async systemStats() {
      const uptime = await firstStats().then(
        (stats) => BigInt(stats.uptime),
        (error: unknown) => {
          if (error instanceof BackendNotInitialized || error instanceof CoreNotStarted) throw error;
          return 0n;
        },
      );
      return create(SystemStatsResponseSchema, { ...system.current(), uptime });
    },
    followLog(caller) {
      requireRunning();
      return lines.follow(caller);
    },
    requireRunning: () => void requireRunning(),
    touch() {
      for (const { keepAlive } of all) keepAlive.touch();
    },
    async close() {
      system.close();
      await Promise.all(all.map((backend) => backend.close()));
    },
  };
}

/** The version of one engine; of several, those after the first with their names. */
function versionsOf(active: readonly BackendEngine[]): string {
  return active.map(({ name, engine }, index) => (index === 0 ? "" : `${name} `) + (engine?.version ?? "")).join(", ");
}
