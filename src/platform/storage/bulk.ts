import type { QueryExecutorProvider, Transaction } from "kysely";
import type { BulkText } from "./bulk-text.ts";
import { onConnection } from "./statements.ts";

/**
 * A statement that joins, inserts or updates by a table of values that the caller brings: for thousands of rows it costs
 * a third of what executing a statement for each of them does. `values` holds the rows one after another, each with one
 * value for every column.
 */
export interface BulkStatement<S, Row> {
  /**
   * What it finds, in no order. SQLite executes it for some rows after others, and lets others have a turn every few
   * milliseconds; PostgreSQL is sent all rows at once.
   */
  all(values: readonly unknown[], tx: Transaction<S>): Promise<Row[]>;
  /** How many rows were inserted, updated or deleted. As `all` otherwise. */
  run(values: readonly unknown[], tx: Transaction<S>): Promise<number>;
}

/** Makes a bulk statement of its text. `Row` is what it finds. Call it at start, not per request. */
export function prepareBulk<S, Row = never>(bulk: BulkText): BulkStatement<S, Row> {
  const execute = (tx: QueryExecutorProvider, values: readonly unknown[]) =>
    onConnection(tx, (connection) => connection.executeBulk(bulk, values));
  // What the statement finds was named by the caller.
  const all = async (values: readonly unknown[], tx: Transaction<S>) => (await execute(tx, values)).rows as Row[];
  return {
    all: (values, tx) => (values.length === 0 ? Promise.resolve([]) : all(values, tx)),
    run: async (values, tx) => (values.length === 0 ? 0 : ((await execute(tx, values)).changed ?? 0)),
  };
}
