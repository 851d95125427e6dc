import type { Driver, TransactionSettings } from "kysely";
import type { Pool } from "pg";
import { DatabaseClosed } from "../errors.ts";
import type { TransactionScope } from "../transaction-scope.ts";
import { PostgresConnection } from "./connection.ts";
import { connectError } from "./errors.ts";

/** Options of {@link PostgresDriver}. */
export interface PostgresDriverOptions {
  pool: Pool;
  /** The database, for errors: without its password. */
  target: string;
  int64: ReadonlySet<string>;
  scope: TransactionScope;
}

/** Gives Kysely the connections of a pool. */
export class PostgresDriver implements Driver {
  readonly #options: PostgresDriverOptions;
  #closing: Promise<void> | undefined;

  constructor(options: PostgresDriverOptions) {
    this.#options = options;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<PostgresConnection> {
    const { pool, target, int64, scope } = this.#options;
    scope.assertOutside();
    if (this.#closing !== undefined) {
      throw new DatabaseClosed();
    }
    const client = await pool.connect().catch((error: unknown) => {
      throw this.#closing === undefined ? connectError(target, error) : new DatabaseClosed();
    });
    return new PostgresConnection(client, int64);
  }

  async releaseConnection(connection: PostgresConnection): Promise<void> {
    connection.release();
  }

  beginTransaction(connection: PostgresConnection, settings: TransactionSettings): Promise<void> {
    return connection.begin(settings);
  }

  commitTransaction(connection: PostgresConnection): Promise<void> {
    return connection.commit();
  }

  rollbackTransaction(connection: PostgresConnection): Promise<void> {
    return connection.rollback();
  }

  /** Resolves when all connections were given back and are closed. */
  destroy(): Promise<void> {
    this.#closing ??= this.#options.pool.end();
    return this.#closing;
  }
}
