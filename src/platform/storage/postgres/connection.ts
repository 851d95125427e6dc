import { createHash } from "node:crypto";
import { AbortedTransactionError, type CompiledQuery, type QueryResult, type TransactionSettings } from "kysely";
import type { QueryResult as PgResult, PoolClient } from "pg";
import type { BulkText } from "../bulk-text.ts";
import type { StatementResult, StoreConnection } from "../connection.ts";
import { ConnectionLost, TransactionAborted, TransactionMisuse } from "../errors.ts";
import { readInteger } from "../integers.ts";
import { bulkQuery } from "./bulk-query.ts";
import { isStalePlan, translateError } from "./errors.ts";
import { integerTypes, toPostgres } from "./types.ts";

/** A connection of the pool, from when it is taken to when it is given back. */
export class PostgresConnection implements StoreConnection {
  readonly #client: PoolClient;
  readonly #int64: ReadonlySet<string>;
  /** The transaction that is open, and what failed first in it. */
  #transaction: { failure?: { cause: unknown } } | undefined;
  /** Why nothing can be executed on the connection any more. */
  #broken: Error | undefined;

  constructor(client: PoolClient, int64: ReadonlySet<string>) {
    this.#client = client;
    this.#int64 = int64;
    client.on("error", this.#onError);
  }

  /** Gives the connection back; a broken one is thrown away. */
  release(): void {
    this.#client.release(this.#broken);
    this.#client.off("error", this.#onError);
  }

  async begin({ isolationLevel, accessMode }: TransactionSettings): Promise<void> {
    const isolation = isolationLevel === undefined ? "" : ` isolation level ${isolationLevel}`;
    await this.#query({ text: `begin${isolation} ${accessMode ?? ""}` });
    this.#transaction = {};
  }

  async commit(): Promise<void> {
    const failure = this.#transaction?.failure;
    if (failure !== undefined) {
      await this.rollback().catch(() => undefined);
      throw new AbortedTransactionError(failure);
    }
    const { command } = await this.#query({ text: "commit" });
    this.#transaction = undefined;
    if (command === "ROLLBACK") {
      throw new AbortedTransactionError();
    }
  }

  async rollback(): Promise<void> {
    this.#transaction = undefined;
    try {
      await this.#query({ text: "rollback" });
    } catch (error) {
      this.#broken ??= new ConnectionLost(error);
      throw error;
    }
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, changed } = await this.#inside(() => this.#run({ text: sql, values: parameters.map(toPostgres) }));
    return { rows: rows as R[], ...(changed === undefined ? {} : { numAffectedRows: BigInt(changed) }) };
  }

  streamQuery(): never {
    throw new TypeError("rows cannot be streamed: page through them by key");
  }

  execute(sql: string, parameters: readonly unknown[]): Promise<StatementResult> {
    return this.#inside(() => this.#run({ name: nameOf(sql), text: sql, values: parameters.map(toPostgres) }));
  }

  async executeMany(sql: string, rows: readonly (readonly unknown[])[]): Promise<number> {
    if (this.#transaction === undefined) {
      throw new TransactionMisuse("many statements are executed in a transaction");
    }
    let changed = 0;
    for (let from = 0; from < rows.length; from += pipelineLength) {
      const slice = rows.slice(from, from + pipelineLength);
      // All are sent before the first answer is there. After one that fails the server refuses the others.
      const outcomes = await Promise.allSettled(slice.map((parameters) => this.execute(sql, parameters)));
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") {
          throw outcome.reason;
        }
        changed += outcome.value.changed ?? 0;
      }
    }
    return changed;
  }

  async executeBulk(bulk: BulkText, values: readonly unknown[]): Promise<StatementResult> {
    if (this.#transaction === undefined) {
      throw new TransactionMisuse("bulk statements are executed in a transaction");
    }
    const { sql, parameters } = bulkQuery(bulk, values);
    return this.execute(sql, parameters);
  }

  /** The first failure ends a transaction, whether the server saw it or only we did. */
  async #inside<T>(execute: () => Promise<T>): Promise<T> {
    const transaction = this.#transaction;
    if (transaction?.failure !== undefined) {
      throw new TransactionAborted(transaction.failure.cause);
    }
    try {
      return await execute();
    } catch (error) {
      if (transaction !== undefined) {
        transaction.failure ??= { cause: error };
      }
      throw error;
    }
  }

  async #run(query: Query): Promise<StatementResult> {
    const { rows, fields, command, rowCount } = await this.#query(query);
    for (const { name, dataTypeID } of fields) {
      if (!integerTypes.has(dataTypeID)) {
        continue;
      }
      for (const row of rows) {
        const value: unknown = row[name];
        if (typeof value === "bigint" || (typeof value === "number" && this.#int64.has(name))) {
          row[name] = readInteger(value, name, this.#int64);
        }
      }
    }
    return { rows, changed: changingCommands.has(command) ? (rowCount ?? 0) : undefined };
  }

  async #query(query: Query): Promise<PgResult<Record<string, unknown>>> {
    try {
      return await this.#client.query(query);
    } catch (error) {
      const translated = this.#broken === undefined ? translateError(error) : new ConnectionLost(error);
      if (translated instanceof ConnectionLost || isStalePlan(error)) {
        this.#broken ??= translated as Error;
      }
      throw translated;
    }
  }

  // Without a listener a connection that breaks between two statements would end the process.
  readonly #onError = (error: Error) => {
    this.#broken ??= error;
  };
}

interface Query {
  text: string;
  values?: unknown[];
  name?: string;
}

/** Statements that are sent before the answers of the first are awaited. */
const pipelineLength = 256;

const changingCommands = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"]);

/** The name under which a text is prepared on each connection; at most 63 bytes are allowed. */
function nameOf(sql: string): string {
  let name = names.get(sql);
  if (name === undefined) {
    name = createHash("sha256").update(sql).digest("base64url").slice(0, 32);
    names.set(sql, name);
  }
  return name;
}

// As many as the program has prepared statements.
const names = new Map<string, string>();
