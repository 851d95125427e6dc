import type { Compilable, Kysely, QueryExecutorProvider, Transaction } from "kysely";
import type { StoreConnection } from "./connection.ts";

/**
 * A query that was built and compiled once, for hot paths: building one costs many times its execution. `Args` are
 * its values by name, `Row` is what it finds.
 */
export interface Statement<S, Args, Row> {
  /** All rows. Without `tx` it is executed outside of any transaction. */
  all(args: Args, tx?: Transaction<S>): Promise<Row[]>;
  /** The first row. */
  first(args: Args, tx?: Transaction<S>): Promise<Row | undefined>;
  /** How many rows were inserted, updated or deleted. */
  run(args: Args, tx?: Transaction<S>): Promise<number>;
  /**
   * Executes it once for each of `rows`, in order, and returns how many rows were changed altogether. PostgreSQL is sent
   * many at a time; SQLite, where it works in this thread, lets others have a turn every few milliseconds.
   */
  runMany(rows: readonly Args[], tx: Transaction<S>): Promise<number>;
}

/** Builds the query: `args` stands for the values, which may be used as values and nowhere else. */
export type BuildStatement<S, Args, Row> = (db: Kysely<S>, args: Args) => Compilable<Row>;

/** Compiles a statement. */
export function prepareStatement<S, Args extends object, Row>(
  db: Kysely<S>,
  build: BuildStatement<S, Args, Row>,
): Statement<S, Args, Row> {
  const { sql, parameters } = build(db, slots<Args>()).compile();
  const bind = (args: Args) =>
    parameters.map((parameter) => (parameter instanceof Slot ? args[parameter.name as keyof Args] : parameter));
  const execute = (args: Args, tx: QueryExecutorProvider = db) =>
    onConnection(tx, (connection) => connection.execute(sql, bind(args)));

  // What the query finds was typed by Kysely when it was built.
  const all = async (args: Args, tx?: Transaction<S>) => (await execute(args, tx)).rows as Row[];
  return {
    all,
    first: async (args, tx) => (await all(args, tx))[0],
    run: async (args, tx) => (await execute(args, tx)).changed ?? 0,
    runMany: (rows, tx) => onConnection(tx, (connection) => connection.executeMany(sql, rows.map(bind))),
  };
}

/** The place of a value. */
class Slot {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** Stands for the values while a query is built: each property is the place of the value with that name. */
function slots<Args extends object>(): Args {
  return new Proxy({} as Args, {
    get: (_, name) => new Slot(String(name)),
    ownKeys() {
      throw new TypeError("which values there are is not known while a statement is built: name each of them");
    },
  });
}

/** Uses the connection of a transaction, or one of the database. */
export function onConnection<T>(
  tx: QueryExecutorProvider,
  use: (connection: StoreConnection) => Promise<T>,
): Promise<T> {
  // Kysely knows its own part of the connections that our drivers give it.
  return tx.getExecutor().provideConnection((connection) => use(connection as StoreConnection));
}
