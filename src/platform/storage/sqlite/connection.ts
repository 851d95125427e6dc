import type { CompiledQuery, QueryResult } from "kysely";
import type { BulkText } from "../bulk-text.ts";
import type { StatementResult, StoreConnection } from "../connection.ts";
import { TransactionAborted, TransactionMisuse } from "../errors.ts";
import { readInteger } from "../integers.ts";
import type { Timing } from "../timing.ts";
import { bulkWork } from "./bulk-parts.ts";
import { translateError } from "./errors.ts";
import type { Executed, SqliteExecutor } from "./executor.ts";
import { whenFree } from "./when-free.ts";

/** Options of {@link SqliteConnection}. */
export interface SqliteConnectionOptions {
  executor: SqliteExecutor;
  int64: ReadonlySet<string>;
  timing: Timing;
  /** How long to wait for another process that holds the write lock. */
  retryForMs: number;
}

/**
 * The one connection of an SQLite database. Locks of other processes are waited for without blocking this thread. As on
 * PostgreSQL, a transaction in which a statement failed can only be rolled back.
 */
export class SqliteConnection implements StoreConnection {
  readonly #executor: SqliteExecutor;
  readonly #int64: ReadonlySet<string>;
  readonly #timing: Timing;
  readonly #retryForMs: number;
  /** The transaction that is open, and what failed first in it. */
  #transaction: { readOnly: boolean; failure?: { cause: unknown } } | undefined;

  constructor({ executor, int64, timing, retryForMs }: SqliteConnectionOptions) {
    this.#executor = executor;
    this.#int64 = int64;
    this.#timing = timing;
    this.#retryForMs = retryForMs;
  }

  /** What failed first in the open transaction, if anything did. */
  get failure(): { cause: unknown } | undefined {
    return this.#transaction?.failure;
  }

  async begin(readOnly: boolean): Promise<void> {
    // A writer takes the write lock at once: a reader that becomes a writer may find that it has read the past.
    const text = readOnly ? "begin; pragma query_only = on" : "begin immediate";
    await this.#whenFree(() => this.#executor.exec(text));
    this.#transaction = { readOnly };
  }

  async commit(): Promise<void> {
    await this.#whenFree(() => this.#executor.exec("commit"));
    await this.#end();
  }

  async rollback(): Promise<void> {
    await this.#executor.rollback();
    await this.#end();
  }

  async savepoint(name: string): Promise<void> {
    await this.execute(`savepoint ${name}`, []);
  }

  /** Forgets what was written since the savepoint, and what failed: unless the transaction was ended by it. */
  async rollbackToSavepoint(name: string): Promise<void> {
    await this.#executor.exec(`rollback to ${name}; release ${name}`);
    if (this.#transaction !== undefined) this.#transaction = { readOnly: this.#transaction.readOnly };
  }

  async releaseSavepoint(name: string): Promise<void> {
    await this.execute(`release ${name}`, []);
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, changed } = await this.execute(sql, parameters);
    return { rows: rows as R[], ...(changed === undefined ? {} : { numAffectedRows: BigInt(changed) }) };
  }

  streamQuery(): never {
    throw new TypeError("rows cannot be streamed: page through them by key");
  }

  async execute(sql: string, parameters: readonly unknown[]): Promise<StatementResult> {
    const run = async () => this.#exact(await this.#executor.execute(sql, parameters));
    return this.#transaction === undefined ? this.#whenFree(run) : this.#inside(this.#transaction, run);
  }

  async executeMany(sql: string, rows: readonly (readonly unknown[])[]): Promise<number> {
    const transaction = this.#transaction;
    if (transaction === undefined) {
      throw new TransactionMisuse("many statements are executed in a transaction");
    }
    return this.#inside(transaction, () => this.#executor.executeMany(sql, rows));
  }

  async executeBulk(bulk: BulkText, values: readonly unknown[]): Promise<StatementResult> {
    const transaction = this.#transaction;
    if (transaction === undefined) {
      throw new TransactionMisuse("bulk statements are executed in a transaction");
    }
    return this.#inside(transaction, async () => this.#exact(await this.#executor.executeBulk(bulkWork(bulk, values))));
  }

  #whenFree<T>(execute: () => Promise<T>): Promise<T> {
    return whenFree(this.#timing, this.#retryForMs, execute);
  }

  async #inside<T>(transaction: { failure?: { cause: unknown } }, execute: () => Promise<T>): Promise<T> {
    if (transaction.failure !== undefined) {
      throw new TransactionAborted(transaction.failure.cause);
    }
    try {
      return await execute();
    } catch (error) {
      const cause = translateError(error);
      transaction.failure ??= { cause };
      throw cause;
    }
  }

  /** Integers as they are promised: bigint in the columns that are named for it, and nowhere else. */
  #exact({ rows, changed, readsBigInts }: Executed): StatementResult {
    if (!readsBigInts) {
      return { rows, changed };
    }
    for (const row of rows) {
      for (const [column, value] of Object.entries(row)) {
        if (typeof value === "bigint") {
          row[column] = readInteger(value, column, this.#int64);
        }
      }
    }
    return { rows, changed };
  }

  async #end(): Promise<void> {
    const wasReadOnly = this.#transaction?.readOnly === true;
    this.#transaction = undefined;
    if (wasReadOnly) {
      await this.#executor.exec("pragma query_only = off");
    }
  }
}
