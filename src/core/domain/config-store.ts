import type { SyncChange, SyncState } from "./sync-status.ts";

/** What serving configs asks of a store. Times are in milliseconds since 1970. */
export interface ConfigStore {
  /** The newest revisions of these nodes; nodes without one are left out. */
  heads(nodeIds: readonly number[]): Promise<Map<number, ConfigHead>>;
  /** The content with this digest. Undefined: it is not kept any more. */
  content(digest: string): Promise<string | undefined>;
  /** The digest of a revision of a node. Undefined: there was none, or it is not kept any more. */
  digestOf(nodeId: number, revision: number): Promise<string | undefined>;
  /** Changes how a node stands to its revisions. `change` is asked in a transaction. False: there is no such node. */
  changeSync(
    nodeId: number,
    revision: number | undefined,
    now: number,
    change: (state: SyncState) => SyncChange,
  ): Promise<boolean>;
  /** Calls `moved` with nodes that have newer revisions, whoever has published them; without any when some were missed. */
  onPublished(moved: (nodeIds: readonly number[] | undefined) => void): { close(): void };
  /** Tells all replicas that a node has opened a stream. */
  announceWatch(nodeId: number, stream: string): Promise<void>;
  /** Calls `opened` with what is told by {@link announceWatch}. */
  onWatch(opened: (nodeId: number, stream: string) => void): { close(): void };
}

/** The newest revision of a node. */
export interface ConfigHead {
  readonly revision: number;
  readonly digest: string;
  /** The version of the contract that the node's agent speaks. */
  readonly protocolVersion: number;
}
