import type {
  GetConfigRequest,
  ReportAppliedRequest,
  ReportErrorRequest,
  WatchConfigRequest,
  WatchConfigResponse,
} from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { ConfigDelta, NodeConfig } from "../../../gen/garrison/core/v1/node_config_pb.ts";

/** Which configs a change is about. */
export type ConfigScope =
  | { readonly nodeIds: readonly number[] }
  /** Subscriptions that were added, changed or removed; their links, protocols and users included. */
  | { readonly subscriptionIds: readonly number[] }
  | "all";

/** Is told of changes, and publishes what comes of them. */
export interface ConfigPublisher {
  /**
   * Rows that configs are rendered from have changed, and are committed. Soon, and once for many changes, the nodes in
   * `scope` get new revisions, where their configs differ. `reason` is kept with the revision. Cheap; never throws.
   */
  changed(scope: ConfigScope, reason: string): void;
}

/** What the handlers of NodeAgentService ask about configs. The node is the one whose key the caller has. */
export interface Configs {
  /**
   * The newest config of a node; waits for a newer one as the request says, until `signal` aborts. `known` tells that
   * the caller has a config by its ETag, which then counts instead of the request's digest. Throws `ConfigMissing`.
   */
  latest(
    nodeId: number,
    request: Pick<GetConfigRequest, "digest" | "wait" | "since">,
    signal: AbortSignal,
    known?: (etag: string) => boolean,
  ): Promise<LatestConfig>;
  /** Tells of newer configs, until `signal` aborts or the stream has lived long enough. Throws `WatchSuperseded`. */
  watch(nodeId: number, request: WatchConfigRequest, signal: AbortSignal): AsyncIterable<WatchConfigResponse>;
  /** A node runs a revision. */
  applied(nodeId: number, report: ReportAppliedRequest): Promise<void>;
  /** Something went wrong on a node. */
  failed(nodeId: number, report: ReportErrorRequest): Promise<void>;
}

/** The newest config, or how it differs. */
export type LatestConfig = { readonly etag: string } & (
  | { readonly unchanged: true }
  | { readonly delta: ConfigDelta }
  | { readonly config: StoredConfig }
);

/** A config as it was published, in the forms in which it is sent; each is made once. */
export interface StoredConfig {
  /** As a message. */
  message(): Promise<NodeConfig>;
  /** As `GET /node/config/latest` sends it. */
  json(): Promise<Uint8Array>;
  /** The same, compressed. */
  gzip(): Promise<Uint8Array>;
}

/** Nothing was published for the node yet. CONFIG_MISSING. */
export class ConfigMissing extends Error {
  override readonly name = "ConfigMissing";
  readonly code = "CONFIG_MISSING";

  constructor() {
    super("nothing was published for this node yet: call again after the next heartbeat that asks for it");
  }
}

/** The node has opened another stream, which counts from now on. WATCH_SUPERSEDED. */
export class WatchSuperseded extends Error {
  override readonly name = "WatchSuperseded";
  readonly code = "WATCH_SUPERSEDED";

  constructor() {
    super("superseded by a newer stream of this node");
  }
}
