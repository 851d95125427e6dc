import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import { type BulkWork, bulkParts } from "./bulk-parts.ts";

/** What a statement did and found, as SQLite tells it. */
export interface Executed {
  readonly rows: Record<string, unknown>[];
  /** Rows inserted, updated or deleted; undefined for any other statement. */
  readonly changed: number | undefined;
  /** All integers of the rows are bigint. */
  readonly readsBigInts: boolean;
}

/** Executes statements on one SQLite database, one after another. Everything rejects with the errors of `node:sqlite`. */
export interface SqliteExecutor {
  /** Executes statements without values, whose rows do not matter. */
  exec(sql: string): Promise<void>;
  /** Executes a statement, which is kept prepared. */
  execute(sql: string, parameters: readonly unknown[]): Promise<Executed>;
  /** Executes a statement once for each row of parameters, and returns how many rows were changed altogether. */
  executeMany(sql: string, rows: readonly (readonly unknown[])[]): Promise<number>;
  executeBulk(work: BulkWork): Promise<Executed>;
  /** Ends the transaction that is open, if one is: some errors, a full disk among them, make SQLite do so by itself. */
  rollback(): Promise<void>;
  close(): Promise<void>;
}

/** Options of {@link createExecutor}. */
export interface ExecutorOptions {
  database: DatabaseSync;
  /** Names of result columns that are read as bigint. */
  int64: ReadonlySet<string>;
  /** Milliseconds of a clock that never goes back. */
  now: () => number;
}

/** Executes in this thread. Where there is much to execute, others get a turn every few milliseconds. */
export function createExecutor({ database, int64, now }: ExecutorOptions): SqliteExecutor {
  // SQLite's own knows ASCII only.
  database.function("lower", { deterministic: true }, (value) =>
    typeof value === "string" ? value.toLowerCase() : value,
  );
  const prepare = createPrepare(database, int64);
  let sliceEndsAt = 0;
  const giveTurn = async () => {
    await setImmediate();
    sliceEndsAt = now() + sliceMs;
  };
  return {
    async exec(sql) {
      database.exec(sql);
    },
    execute: async (sql, parameters) => prepare(sql).execute(parameters),
    async executeMany(sql, rows) {
      let changed = 0;
      sliceEndsAt = now() + sliceMs;
      for (const [index, parameters] of rows.entries()) {
        changed += prepare(sql).execute(parameters).changed ?? 0;
        if (index % 64 === 63 && now() > sliceEndsAt) await giveTurn();
      }
      return changed;
    },
    async executeBulk(work) {
      const rows: Record<string, unknown>[] = [];
      let changed = 0;
      let readsBigInts = false;
      sliceEndsAt = now() + sliceMs;
      for (const { sql, parameters } of bulkParts(work)) {
        const result = prepare(sql).execute(parameters);
        for (const row of result.rows) rows.push(row);
        changed += result.changed ?? 0;
        readsBigInts ||= result.readsBigInts;
        if (now() > sliceEndsAt) await giveTurn();
      }
      return { rows, changed, readsBigInts };
    },
    async rollback() {
      if (database.isTransaction) database.exec("rollback");
    },
    async close() {
      database.close();
    },
  };
}

const sliceMs = 4;
/** Statements that are kept prepared; Kysely's texts vary with the number of values. */
const preparedLimit = 500;

function createPrepare(database: DatabaseSync, int64: ReadonlySet<string>): (sql: string) => PreparedStatement {
  const statements = new Map<string, PreparedStatement>();
  return (sql) => {
    let prepared = statements.get(sql);
    if (prepared === undefined) prepared = new PreparedStatement(database.prepare(sql), sql, int64);
    else statements.delete(sql);
    // A Map keeps the order of insertion: the first is the one that was not used for the longest time.
    statements.set(sql, prepared);
    if (statements.size > preparedLimit) {
      const [oldest] = statements.keys();
      statements.delete(oldest ?? "");
    }
    return prepared;
  };
}

class PreparedStatement {
  readonly #statement: StatementSync;
  readonly #returnsRows: boolean;
  readonly #changesRows: boolean;
  readonly #readsBigInts: boolean;

  constructor(statement: StatementSync, sql: string, int64: ReadonlySet<string>) {
    const columns = statement.columns();
    this.#statement = statement;
    this.#returnsRows = columns.length > 0;
    // For all others SQLite reports the changes of the statement before. What begins with `with` and returns rows is
    // taken for a select.
    this.#changesRows = (
      this.#returnsRows ? /^\s*(insert|update|delete)\b/i : /^\s*(insert|update|delete|with)\b/i
    ).test(sql);
    this.#readsBigInts = columns.some(({ name }) => int64.has(name));
    statement.setReadBigInts(this.#readsBigInts);
  }

  execute(parameters: readonly unknown[]): Executed {
    const values = parameters.map(toSqlite);
    if (this.#returnsRows) {
      const rows = this.#statement.all(...values) as Record<string, unknown>[];
      return { rows, changed: this.#changesRows ? rows.length : undefined, readsBigInts: this.#readsBigInts };
    }
    const { changes } = this.#statement.run(...values);
    return { rows: [], changed: this.#changesRows ? Number(changes) : undefined, readsBigInts: false };
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
