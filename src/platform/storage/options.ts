import type { Migration } from "./migrations.ts";
import type { StorageLog } from "./subscribers.ts";
import { realTiming, type Timing } from "./timing.ts";

/** Options of `openDatabase`, besides where the database is. */
export interface StorageOptions {
  /** In the order in which they are applied. */
  migrations: readonly Migration[];
  /** Names of result columns, aliases included, that are read as bigint. Default: none. */
  int64?: readonly string[];
  /**
   * The PostgreSQL schema that holds the tables, made when it is missing, so that services can share one server
   * database. Default: what the server's `search_path` says. SQLite has a file for each service instead.
   */
  schema?: string;
  /** `full`, the default, survives a power cut; `normal` may lose the last commits to one, never more. SQLite only. */
  synchronous?: "full" | "normal";
  /**
   * Statements are executed in a thread of their own, so that those that take long hold up nobody in this one. It costs
   * some 10 MiB, and each statement a few hundredths of a millisecond. Default: no. SQLite only.
   */
  ownThread?: boolean;
  /**
   * Nobody else opens the file meanwhile, not even to read or copy it. What all who have it open would share is then kept
   * in memory, so that it can be opened, and read, while the disk is full. Default: no. SQLite only.
   */
  alone?: boolean;
  /** PostgreSQL connections at most, one for events besides. Default: 10. */
  maxConnections?: number;
  /** How long to wait at start for a server that starts, or for another process that migrates. Default: 60,000. */
  openTimeoutMs?: number;
  /** How long a transaction is tried again, and how long a lock of another process is waited for. Default: 5,000. */
  retryForMs?: number;
  /** Default: problems in the background are not logged. */
  log?: StorageLog;
  /** Default: this process's. */
  timing?: Timing;
}

/** {@link StorageOptions} as the engines get them. */
export type CompleteStorageOptions = ReturnType<typeof withDefaults>;

/** What is left out of the options. */
export function withDefaults(options: StorageOptions) {
  return {
    migrations: options.migrations,
    int64: new Set(options.int64),
    schema: options.schema,
    synchronous: options.synchronous ?? "full",
    ownThread: options.ownThread ?? false,
    alone: options.alone ?? false,
    maxConnections: options.maxConnections ?? 10,
    openTimeoutMs: options.openTimeoutMs ?? 60_000,
    retryForMs: options.retryForMs ?? 5_000,
    log: options.log ?? { warn: () => undefined },
    timing: options.timing ?? realTiming,
  };
}
