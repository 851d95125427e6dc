import type { DatabaseConnection, Dialect } from "kysely";
import type { BulkText } from "./bulk-text.ts";
import type { EventBus } from "./event-bus.ts";

/** The engines that a service runs on. */
export type EngineName = "sqlite" | "postgres";

/** What a statement did and found. */
export interface StatementResult {
  readonly rows: Record<string, unknown>[];
  /** Rows inserted, updated or deleted; undefined for any other statement. */
  readonly changed: number | undefined;
}

/** One connection of either engine: what Kysely asks for, and what prepared statements need besides. */
export interface StoreConnection extends DatabaseConnection {
  /** Executes a statement that is kept prepared on the connection: for texts that come again and again. */
  execute(sql: string, parameters: readonly unknown[]): Promise<StatementResult>;
  /** Executes a prepared statement once for each row of parameters, inside a transaction. Returns the rows changed. */
  executeMany(sql: string, rows: readonly (readonly unknown[])[]): Promise<number>;
  /** Executes a bulk statement over rows that lie one after another, inside a transaction. */
  executeBulk(bulk: BulkText, values: readonly unknown[]): Promise<StatementResult>;
}

/** An opened, migrated store. */
export interface Engine {
  readonly name: EngineName;
  readonly dialect: Dialect;
  readonly events: EventBus;
  /** Waits for what is running, refuses what comes later. */
  close(): Promise<void>;
}
