import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import type { CompiledQuery, QueryResult } from "kysely";
import type { BulkText } from "../bulk-text.ts";
import type { StatementResult, StoreConnection } from "../connection.ts";
import { TransactionAborted, TransactionMisuse } from "../errors.ts";
import { readInteger } from "../integers.ts";
import type { Timing } from "../timing.ts";
import { bulkParts } from "./bulk-parts.ts";
import { translateError } from "./errors.ts";
import { whenFree } from "./when-free.ts";

/** Options of {@link SqliteConnection}. */
export interface SqliteConnectionOptions {
  database: DatabaseSync;
  int64: ReadonlySet<string>;
  timing: Timing;
  /** How long to wait for another process that holds the write lock. */
  retryForMs: number;
}

/**
 * The one connection of an SQLite database. Statements run in this thread; locks of other processes are waited for
 * without blocking it. As on PostgreSQL, a transaction in which a statement failed can only be rolled back.
 */
export class SqliteConnection implements StoreConnection {
  readonly #database: DatabaseSync;
  readonly #int64: ReadonlySet<string>;
  readonly #timing: Timing;
  readonly #retryForMs: number;
  readonly #prepared = new Map<string, PreparedStatement>();
  /** The transaction that is open, and what failed first in it. */
  #transaction: { readOnly: boolean; failure?: { cause: unknown } } | undefined;

  constructor({ database, int64, timing, retryForMs }: SqliteConnectionOptions) {
    this.#database = database;
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
    await whenFree(this.#timing, this.#retryForMs, () => this.#database.exec(readOnly ? "begin" : "begin immediate"));
    if (readOnly) {
      this.#database.exec("pragma query_only = on");
    }
    this.#transaction = { readOnly };
  }

  async commit(): Promise<void> {
    await whenFree(this.#timing, this.#retryForMs, () => this.#database.exec("commit"));
    this.#end();
  }

  rollback(): void {
    // Some errors, a full disk among them, make SQLite roll back by itself.
    if (this.#database.isTransaction) {
      this.#database.exec("rollback");
    }
    this.#end();
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, changed } = await this.execute(sql, parameters);
    return { rows: rows as R[], ...(changed === undefined ? {} : { numAffectedRows: BigInt(changed) }) };
  }

  streamQuery(): never {
    throw new TypeError("rows cannot be streamed: page through them by key");
  }

  async execute(sql: string, parameters: readonly unknown[]): Promise<StatementResult> {
    const run = () => this.#prepare(sql).execute(parameters);
    return this.#transaction === undefined
      ? whenFree(this.#timing, this.#retryForMs, run)
      : this.#inside(this.#transaction, run);
  }

  async executeMany(sql: string, rows: readonly (readonly unknown[])[]): Promise<number> {
    const transaction = this.#transaction;
    if (transaction === undefined) {
      throw new TransactionMisuse("many statements are executed in a transaction");
    }
    let changed = 0;
    let sliceEndsAt = this.#timing.now() + sliceMs;
    for (const [index, parameters] of rows.entries()) {
      changed += this.#inside(transaction, () => this.#prepare(sql).execute(parameters)).changed ?? 0;
      if (index % 64 === 63 && this.#timing.now() > sliceEndsAt) {
        await setImmediate();
        sliceEndsAt = this.#timing.now() + sliceMs;
      }
    }
    return changed;
  }

  async executeBulk(bulk: BulkText, values: readonly unknown[]): Promise<StatementResult> {
    const transaction = this.#transaction;
    if (transaction === undefined) {
      throw new TransactionMisuse("bulk statements are executed in a transaction");
    }
    const rows: Record<string, unknown>[] = [];
    let changed = 0;
    let sliceEndsAt = this.#timing.now() + sliceMs;
    for (const { sql, parameters } of bulkParts(bulk, values)) {
      const result = this.#inside(transaction, () => this.#prepare(sql).execute(parameters));
      for (const row of result.rows) {
        rows.push(row);
      }
      changed += result.changed ?? 0;
      if (this.#timing.now() > sliceEndsAt) {
        await setImmediate();
        sliceEndsAt = this.#timing.now() + sliceMs;
      }
    }
    return { rows, changed };
  }

  #prepare(sql: string): PreparedStatement {
    let prepared = this.#prepared.get(sql);
    if (prepared === undefined) {
      prepared = new PreparedStatement(this.#database.prepare(sql), sql, this.#int64);
    } else {
      this.#prepared.delete(sql);
    }
    // A Map keeps the order of insertion: the first is the one that was not used for the longest time.
    this.#prepared.set(sql, prepared);
    if (this.#prepared.size > preparedLimit) {
      const [oldest] = this.#prepared.keys();
      this.#prepared.delete(oldest ?? "");
    }
    return prepared;
  }

  #inside<T>(transaction: { failure?: { cause: unknown } }, execute: () => T): T {
    if (transaction.failure !== undefined) {
      throw new TransactionAborted(transaction.failure.cause);
    }
    try {
      return execute();
    } catch (error) {
      const cause = translateError(error);
      transaction.failure = { cause };
      throw cause;
    }
  }

  #end(): void {
    if (this.#transaction?.readOnly === true) {
      this.#database.exec("pragma query_only = off");
    }
    this.#transaction = undefined;
  }
}

/** Others get a turn at least this often while many statements are executed. */
const sliceMs = 4;
/** Statements that are kept prepared; Kysely's texts vary with the number of values. */
const preparedLimit = 500;

class PreparedStatement {
  readonly #statement: StatementSync;
  readonly #int64: ReadonlySet<string>;
  readonly #returnsRows: boolean;
  readonly #changesRows: boolean;
  readonly #readsBigInts: boolean;

  constructor(statement: StatementSync, sql: string, int64: ReadonlySet<string>) {
    const columns = statement.columns();
    this.#statement = statement;
    this.#int64 = int64;
    this.#returnsRows = columns.length > 0;
    // For all others SQLite reports the changes of the statement before. What begins with `with` and returns rows is
    // taken for a select.
    this.#changesRows = (
      this.#returnsRows ? /^\s*(insert|update|delete)\b/i : /^\s*(insert|update|delete|with)\b/i
    ).test(sql);
    this.#readsBigInts = columns.some(({ name }) => int64.has(name));
    statement.setReadBigInts(this.#readsBigInts);
  }

  execute(parameters: readonly unknown[]): StatementResult {
    const values = parameters.map(toSqlite);
    if (this.#returnsRows) {
      const rows = this.#statement.all(...values) as Record<string, unknown>[];
      return {
        rows: this.#readsBigInts ? rows.map((row) => this.#exact(row)) : rows,
        changed: this.#changesRows ? rows.length : undefined,
      };
    }
    const { changes } = this.#statement.run(...values);
    return { rows: [], changed: this.#changesRows ? Number(changes) : undefined };
  }

  #exact(row: Record<string, unknown>): Record<string, unknown> {
    for (const [column, value] of Object.entries(row)) {
      if (typeof value === "bigint") {
        row[column] = readInteger(value, column, this.#int64);
      }
    }
    return row;
  }
}

/** node:sqlite binds every number as a real, which turns `?/2` into a fraction; integers are bound as what they are. */
function toSqlite(value: unknown): SQLInputValue {
  if (typeof value === "boolean" || (typeof value === "number" && Number.isSafeInteger(value))) {
    return BigInt(value);
  }
  // What SQLite cannot store is refused by node:sqlite itself.
  return value === undefined ? null : (value as SQLInputValue);
}
