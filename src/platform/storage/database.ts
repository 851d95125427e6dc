import { Kysely } from "kysely";
import type { Engine, EngineName } from "./connection.ts";
import type { EventBus } from "./event-bus.ts";
import { createGroupTransact, type GroupTransact } from "./group-transactions.ts";
import { type CompleteStorageOptions, type StorageOptions, withDefaults } from "./options.ts";
import { type BuildStatement, prepareStatement, type Statement } from "./statements.ts";
import { TransactionScope } from "./transaction-scope.ts";
import { createTransact, type Transact } from "./transactions.ts";

/**
 * The database of one service, on either engine, with the same behaviour: the same SQL through Kysely gives the same
 * rows and fails with the same errors (`errors.ts`).
 *
 * | written as                    | SQLite    | PostgreSQL                            | read as                              |
 * |-------------------------------|-----------|---------------------------------------|--------------------------------------|
 * | number, bigint                | `integer` | `smallint`, `integer`, `bigint`       | number, or bigint for `int64` columns|
 * | boolean, which becomes 0 or 1 | `integer` | `smallint`; `boolean` results as well | 0 or 1                               |
 * | number                        | `real`    | `double precision`                    | number                               |
 * | string                        | `text`    | `text`; `json` as its text            | string                               |
 * | Uint8Array                    | `blob`    | `bytea`                               | Uint8Array                           |
 *
 * Integers are numbers because ids, counts and times are, and a bigint among them spreads into all code that touches
 * them; the few columns that can pass 2^53 (the bytes of a busy node within months) are named in `int64` and always
 * bigint. Any other integer beyond 2^53 is an `IntegerOutOfRange`: nothing is ever rounded. Times are integers of
 * milliseconds since 1970.
 */
export interface Database<S> {
  readonly engine: EngineName;
  /** Queries outside of transactions. Rows cannot be streamed: page through them by key. */
  readonly db: Kysely<S>;
  readonly events: EventBus;
  readonly transaction: Transact<S>;
  /** As `transaction` with `read committed`, for many small ones: SQLite may commit several at once. */
  readonly groupTransaction: GroupTransact<S>;
  /** Compiles a query once, for hot paths. Call it at start, not per request. */
  prepare<Args extends object, Row>(build: BuildStatement<S, Args, Row>): Statement<S, Args, Row>;
  /** Waits for what is running, refuses what comes later with `DatabaseClosed`, ends all subscriptions. Idempotent. */
  close(): Promise<void>;
}

/** Where the database is: a PostgreSQL URL, or an SQLite file (made with mode 0600; `:memory:` keeps nothing). */
export type DatabaseLocation = { url: string; file?: undefined } | { file: string; url?: undefined };

/**
 * Opens the database and applies missing migrations; several processes may do so at once, each migration is applied
 * once. Throws `DatabaseUnavailable`, `DatabaseBusy`, `DatabaseNewer`, `MigrationChanged` or `MigrationFailed`.
 */
export async function openDatabase<S>(options: DatabaseLocation & StorageOptions): Promise<Database<S>> {
  const scope = new TransactionScope();
  const complete = withDefaults(options);
  const engine = await openEngine(options, complete, scope);
  const db = new Kysely<S>({ dialect: engine.dialect });
  const { retryForMs, timing } = complete;
  const transaction = createTransact({ db, scope, timing, retryForMs });
  return {
    engine: engine.name,
    db,
    events: engine.events,
    transaction,
    groupTransaction:
      engine.name === "sqlite"
        ? createGroupTransact({ transact: transaction, scope, now: timing.now })
        : (body) => transaction(body, { isolation: "read committed" }),
    prepare: (build) => prepareStatement(db, build),
    close: () => engine.close(),
  };
}

// Imported only when used: a service carries one engine.
async function openEngine(
  location: DatabaseLocation,
  options: CompleteStorageOptions,
  scope: TransactionScope,
): Promise<Engine> {
  if (location.url !== undefined) {
    const { openPostgres } = await import("./postgres/open.ts");
    return openPostgres(location.url, options, scope);
  }
  const { openSqlite } = await import("./sqlite/open.ts");
  return openSqlite(location.file, options, scope);
}
