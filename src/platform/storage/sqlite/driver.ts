import { AbortedTransactionError, type Driver, type TransactionSettings } from "kysely";
import { DatabaseClosed } from "../errors.ts";
import { OneAtATime } from "../one-at-a-time.ts";
import type { TransactionScope } from "../transaction-scope.ts";
import type { SqliteConnection } from "./connection.ts";

/**
 * Gives Kysely the one connection, to one caller at a time: whoever has it keeps it to the end of its transaction, so
 * that no statement slips into a transaction of somebody else.
 */
export class SqliteDriver implements Driver {
  readonly #connection: SqliteConnection;
  readonly #scope: TransactionScope;
  readonly #turns = new OneAtATime();
  #closing: Promise<void> | undefined;

  constructor(connection: SqliteConnection, scope: TransactionScope) {
    this.#connection = connection;
    this.#scope = scope;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<SqliteConnection> {
    this.#scope.assertOutside();
    if (this.#closing !== undefined) {
      throw new DatabaseClosed();
    }
    await this.#turns.take();
    return this.#connection;
  }

  async releaseConnection(): Promise<void> {
    this.#turns.pass();
  }

  async beginTransaction(connection: SqliteConnection, { accessMode }: TransactionSettings): Promise<void> {
    await connection.begin(accessMode === "read only");
  }

  async commitTransaction(connection: SqliteConnection): Promise<void> {
    const { failure } = connection;
    if (failure !== undefined) {
      await connection.rollback();
      throw new AbortedTransactionError(failure);
    }
    await connection.commit();
  }

  async rollbackTransaction(connection: SqliteConnection): Promise<void> {
    await connection.rollback();
  }

  async savepoint(connection: SqliteConnection, name: string): Promise<void> {
    await connection.savepoint(name);
  }

  async rollbackToSavepoint(connection: SqliteConnection, name: string): Promise<void> {
    await connection.rollbackToSavepoint(name);
  }

  async releaseSavepoint(connection: SqliteConnection, name: string): Promise<void> {
    await connection.releaseSavepoint(name);
  }

  /** Resolves when everybody who asked before has finished; nobody gets the connection afterwards. */
  destroy(): Promise<void> {
    this.#closing ??= this.#turns.take();
    return this.#closing;
  }
}
