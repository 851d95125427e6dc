import { type ControlledTransaction, isAbortedTransactionError, type Kysely, type Transaction } from "kysely";
import {
  CommitUncertain,
  ConnectionLost,
  DatabaseBusy,
  DatabaseUnavailable,
  TransactionAborted,
  TransactionConflict,
} from "./errors.ts";
import { backoffMs, type Timing } from "./timing.ts";
import type { TransactionScope } from "./transaction-scope.ts";

/** How a transaction stands to others. */
interface TransactionOptions {
  /**
   * `serializable`, the default, gives what SQLite always gives: as if transactions ran one after another.
   * `read committed` spares PostgreSQL retries where every statement stands alone, such as increments of counters.
   */
  isolation?: "serializable" | "read committed";
  /** All reads see one state, and writes fail. Does not wait for writers. Default: false. */
  readOnly?: boolean;
}

/**
 * Executes `body` in a transaction, which is committed when it returns and rolled back when it throws. The body is called
 * again, with a new handle, when the database says that it conflicts with others or the connection was lost before the
 * commit; it must have no effects besides. Throws `DatabaseBusy` when the conflicts do not end.
 */
export type Transact<S> = <T>(body: (tx: Transaction<S>) => Promise<T>, options?: TransactionOptions) => Promise<T>;

/** A {@link Transact} whose bodies may set savepoints, on SQLite. */
type ControlledTransact<S> = <T>(
  body: (tx: ControlledTransaction<S>) => Promise<T>,
  options?: TransactionOptions,
) => Promise<T>;

/** Options of {@link createTransact}. */
export interface TransactOptions<S> {
  db: Kysely<S>;
  scope: TransactionScope;
  timing: Timing;
  /** How long after the first try another one may begin. */
  retryForMs: number;
}

/** Makes the function that executes transactions. */
export function createTransact<S>({ db, scope, timing, retryForMs }: TransactOptions<S>): ControlledTransact<S> {
  return async (body, options = {}) => {
    const deadline = timing.now() + retryForMs;
    for (let attempt = 0; ; attempt++) {
      try {
        return await transactOnce(db, scope, body, options);
      } catch (error) {
        const waitMs = backoffMs(attempt, timing.random(), 5, 250);
        if (!isTransient(error)) {
          throw error;
        }
        if (timing.now() + waitMs > deadline) {
          throw error instanceof TransactionConflict ? new DatabaseBusy(error) : error;
        }
        await timing.sleep(waitMs);
      }
    }
  };
}

async function transactOnce<S, T>(
  db: Kysely<S>,
  scope: TransactionScope,
  body: (tx: ControlledTransaction<S>) => Promise<T>,
  { isolation = "serializable", readOnly = false }: TransactionOptions,
): Promise<T> {
  const tx = await db
    .startTransaction()
    .setIsolationLevel(isolation)
    .setAccessMode(readOnly ? "read only" : "read write")
    .execute();
  const rollback = () =>
    tx
      .rollback()
      .execute()
      // What made us roll back says more; a connection that cannot even roll back is thrown away by the driver.
      .catch(() => undefined);
  const { result, afterCommit } = await scope
    .run(() => body(tx))
    .catch(async (error: unknown) => {
      await rollback();
      throw error;
    });
  try {
    await tx.commit().execute();
  } catch (error) {
    await rollback();
    throw commitError(error);
  }
  for (const action of afterCommit) {
    action();
  }
  return result;
}

/** A body may have caught the error of a statement and returned: what it caught decides what happens now. */
function commitError(error: unknown): unknown {
  if (isAbortedTransactionError(error)) {
    return isTransient(error.cause) ? error.cause : new TransactionAborted(error.cause);
  }
  return error instanceof ConnectionLost ? new CommitUncertain(error) : error;
}

function isTransient(error: unknown): boolean {
  return (
    error instanceof TransactionConflict ||
    error instanceof ConnectionLost ||
    (error instanceof DatabaseUnavailable && error.temporary)
  );
}
