import type { KickUsersResponse } from "../../../gen/garrison/node/v1/connections_pb.ts";
import type { BackendStatsResponse, Latency, User } from "../../../gen/service/node_pb.ts";
import type { EngineConnections } from "./connections.ts";
import type { EngineRouting } from "./routing.ts";

/** What all engines of this node have in common: whoever counts what users use needs no more. */
export interface CountedEngine {
  /** What the engine is doing now. */
  readonly state: EngineState;
  /** The version of the program that was started last, such as `26.3.27`. Empty before the first start. */
  readonly version: string;

  /**
   * Reads the engine's traffic counters of one kind, or all, without resetting them. Throws {@link EngineNotRunning} or
   * {@link EngineUnreachable}.
   */
  readTraffic(kind?: TrafficKind): Promise<TrafficReading>;
  /**
   * Where a user is connected from. Undefined for one who never was since the engine started, or where the config does
   * not count them. Throws like {@link readTraffic}.
   */
  online(email: string): Promise<OnlineAddresses | undefined>;

  /** Stops the engine for good; one that may outlive the node is left as it runs. */
  close(): Promise<void>;
}

/**
 * A proxy engine: one program that this node runs, with its users. It serialises what changes it; whoever calls need
 * not wait for one change before asking for the next.
 */
export interface Engine extends CountedEngine {
  /**
   * Deals with what an earlier process of this node has left, before anything is started. An engine that may outlive the
   * node is taken over as it runs; what was in force and does not run is started again, and again while it does not come
   * up; then it resolves to what its start said of silent callers, in seconds. Any other engine that the node has left
   * is ended.
   */
  recover(): Promise<{ readonly keepAlive: bigint } | undefined>;

  /** What it counts the traffic of. */
  readonly counts: ReadonlySet<TrafficKind>;
  /** Undefined where the engine routes nothing. */
  readonly routing: EngineRouting | undefined;
  /** Undefined where live connections are left alone, or end by themselves when their users go. */
  readonly connections: EngineConnections | undefined;

  /**
   * Runs this config with exactly these users; resolves when the engine's own API answers. While the engine runs, an
   * equivalent config only reconciles the users, and a different one is validated before anything is touched. Then it
   * is changed into that one where the engine can, and else replaced; when that fails, the one before is brought back
   * with all its users.
   *
   * Throws {@link ConfigRefused} when nothing was touched, {@link StartFailed} otherwise.
   */
  start(request: StartRequest): Promise<UsersOutcome>;
  /**
   * Ends the engine's process, and a start that is under way. Its config and users are forgotten. Resolves when the
   * process is gone; when there is none, at once.
   */
  stop(): Promise<void>;
  /**
   * Sets these users and leaves all others as they are; one without inbounds is removed. Of several with the same
   * e-mail the last counts. Only what differs reaches the engine.
   *
   * Throws {@link EngineNotRunning}, or {@link EngineUnreachable} when the engine went away while it was asked: then
   * any part may have been applied, and the same call again applies the rest.
   */
  updateUsers(users: readonly User[]): Promise<UsersOutcome>;
  /** Like {@link updateUsers}, and users that are not among these are removed. */
  replaceUsers(users: readonly User[]): Promise<UsersOutcome>;

  /**
   * The e-mails of all users who are connected. Undefined where the engine or its config does not count them. Throws like
   * {@link sysStats}.
   */
  onlineNames(): Promise<ReadonlySet<string> | undefined>;

  /** Whether the config or the user set has this inbound, outbound or user. */
  knows(kind: TrafficKind, name: string): boolean;
  /** Measures of the engine's process. Throws {@link EngineNotRunning} or {@link EngineUnreachable}. */
  sysStats(): Promise<BackendStatsResponse>;
  /** What the engine has measured of its outbounds. Undefined where it measures none. Throws like {@link sysStats}. */
  latencies(): Promise<Latency[] | undefined>;
}

/** An engine whose program can be changed for another version. */
export interface UpdatableEngine extends Engine {
  /** Has another program read the config that is in force, if any. Throws {@link ConfigRefused}. */
  tryProgram(program: EngineProgram): Promise<void>;
  /**
   * From now on runs another program: from the next start on, or, with `restart`, at once; then the config in force is
   * tried with it before anything is touched, and one that does not run leaves the one before in force, with all users.
   * Returns whether something was restarted: nothing is when no config is in force.
   *
   * Throws {@link ConfigRefused} when nothing was touched, {@link StartFailed} otherwise.
   */
  useProgram(program: EngineProgram, options: { restart: boolean }): Promise<boolean>;
}

/** The program of an engine, by absolute paths. */
export interface EngineProgram {
  readonly executable: string;
  /** The directory of the data files that it reads, such as geoip.dat. */
  readonly assets: string;
}

/**
 * - `stopped`: nothing was started, or it was stopped, or the start failed.
 * - `starting`: the first start is under way; the engine does not answer yet.
 * - `running`: the engine's API answers.
 * - `restarting`: the engine went away, by itself or for a new config, and comes back with its users.
 */
export type EngineState = "stopped" | "starting" | "running" | "restarting";

/** What to run. */
export interface StartRequest {
  /** The engine's own config document, as the admin wrote it. */
  readonly config: string;
  /** The users. Of several with the same e-mail the last counts. */
  readonly users: readonly User[];
  /** Tags of inbounds that run as written and whose users are never touched. */
  readonly excludeInbounds: readonly string[];
  /** Seconds without a caller after which nobody wants it any more; 0, the default: never. For {@link Engine.recover}. */
  readonly keepAlive?: bigint;
}

/** What became of users that were to be set. Those that are not listed are as they were asked to be. */
export interface UsersOutcome {
  /** Users that could not be used where they asked to be: seen by us, never shown to the engine. Not a failure. */
  readonly skipped: readonly SkippedUser[];
  /** Users that the engine refused. */
  readonly rejected: readonly RejectedUser[];
  /**
   * What becomes of the live connections of users who lost an inbound. Undefined when nobody did, or when they are left
   * alone. May be left alone, takes a few seconds at the most, and rejects when the engine goes away.
   */
  readonly kick?: Promise<KickUsersResponse> | undefined;
}

/** A user that an inbound cannot take. On that inbound the user is absent. */
export interface SkippedUser {
  readonly email: string;
  readonly inbound: string;
  /** Why: `vless id is not a UUID`. Contains no credential. */
  readonly reason: string;
}

/** A user that the engine did not take, or did not let go, on an inbound. Asking again tries again. */
export interface RejectedUser {
  readonly email: string;
  readonly inbound: string;
  /** The engine's own words. */
  readonly reason: string;
}

/** What traffic is counted of. */
export type TrafficKind = "user" | "inbound" | "outbound";

/**
 * Names one life of an engine's counters, which is that of its process (boot id, pid and start time) unless the engine
 * says otherwise. Counters start from zero in every incarnation, and only grow within one.
 */
export type Incarnation = string;

/** Counters as they stood at one moment. Counters that were never touched are absent. */
export interface TrafficReading {
  readonly incarnation: Incarnation;
  readonly counters: readonly TrafficCounter[];
}

/** Bytes since the incarnation began. */
export interface TrafficCounter {
  readonly kind: TrafficKind;
  /** E-mail or tag. */
  readonly name: string;
  /** `traffic`; for WireGuard the peer's public key or `interface`. */
  readonly link: string;
  /** Sent by the user. */
  readonly uplinkBytes: bigint;
  /** Received by the user. */
  readonly downlinkBytes: bigint;
}

/** Addresses, and when the newest connection from each began, in Unix seconds. */
export type OnlineAddresses = Readonly<Record<string, bigint>>;

/** What an engine tells while it runs. Handlers must not throw, and return quickly. */
export interface EngineEvents {
  /** The engine wrote a line to stdout or stderr, or there is something to say about its running. Without line end. */
  line(text: string): void;
  /** The state changed. */
  stateChanged(state: EngineState): void;
  /** The process ended without being asked to. It is started again after `restartInMs`. */
  exited(exit: EngineExit): void;
  /** The process is back after an exit, with all its users. */
  restarted(incarnation: Incarnation): void;
  /** What an earlier process of this node has left is gone: nobody has read what it counted last. */
  vanished?(incarnation: Incarnation): void;
  /** The last reading of an incarnation that is about to be ended on purpose: all kinds. */
  drained(reading: TrafficReading): void;
}

/** How a process ended. */
export interface EngineExit {
  readonly incarnation: Incarnation;
  readonly code: number | null;
  readonly signal: string | null;
  /** What it wrote last. */
  readonly lastLines: readonly string[];
  readonly restartInMs: number;
}
