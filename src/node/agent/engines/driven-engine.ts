import type { ApplyMode } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { NodeServices } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { EngineKind } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import type { CountedEngine, OnlineAddresses, SkippedUser } from "../../engines/engine.ts";

/** What an engine goes by in the spool, and wherever else one of them is meant. */
export type EngineName = "xray" | "mtproto" | "wireguard";

/** An engine as Core's configs drive it. */
export interface DrivenEngine {
  readonly kind: EngineKind;
  /** Its baselines in the spool go by it. */
  readonly name: EngineName;
  /** Undefined: it was never needed. */
  readonly counted: CountedEngine | undefined;
  /**
   * Looks, and changes nothing: asked of all engines before any is changed, so that nobody is disconnected for a config
   * that cannot run here. Throws like {@link apply} when what the services say takes something that the machine lacks.
   */
  check?(services: NodeServices | undefined): Promise<void>;
  /**
   * Runs what the services say of this engine, without the links, and the addresses, that are refused; nothing when they
   * say nothing. It tests before it touches anything, changes what runs live where it can, and brings back what ran before
   * when it fails.
   *
   * Throws `ConfigInvalid`, and what engines throw.
   */
  apply(services: NodeServices | undefined, refusals: Refusals): Promise<EngineChange>;
  /** The names of users who are connected. Undefined: the engine does not tell. Throws what engines throw. */
  onlineNames(): Promise<ReadonlySet<string> | undefined>;
  /** Where one of them is connected from, or was when {@link onlineNames} was asked. Throws what engines throw. */
  addresses(name: string): Promise<OnlineAddresses | undefined>;
}

/** Who is not let in. */
export interface Refusals {
  isRefused(linkUuid: string): boolean;
  /** Addresses from which a link is not let in. */
  addressesOf(linkUuid: string): readonly string[];
}

/** What became of a change. */
interface EngineChange {
  readonly mode: ApplyMode;
  /** Users on the engine; undefined: it does not run. */
  readonly users: number | undefined;
  /** Users whom the engine does not take. */
  readonly leftOut: readonly SkippedUser[];
}
