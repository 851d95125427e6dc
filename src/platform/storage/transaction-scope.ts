import { AsyncLocalStorage } from "node:async_hooks";
import { TransactionMisuse } from "./errors.ts";

/**
 * Knows whether the running code was called by the body of a transaction. There, only the transaction's own handle may
 * be used: the database's would wait for ever for the one connection of SQLite, and on PostgreSQL would not be atomic.
 */
export class TransactionScope {
  readonly #running = new AsyncLocalStorage<{ open: boolean; afterCommit: (() => void)[] }>();

  /** Runs the body of a transaction. What it left to {@link afterCommit} is returned with its result. */
  async run<T>(body: () => Promise<T>): Promise<{ result: T; afterCommit: readonly (() => void)[] }> {
    const scope = { open: true, afterCommit: [] };
    try {
      return { result: await this.#running.run(scope, body), afterCommit: scope.afterCommit };
    } finally {
      scope.open = false;
    }
  }

  /** Calls `action` when the surrounding transaction has been committed, never when it has not. */
  afterCommit(action: () => void): void {
    const scope = this.#running.getStore();
    if (scope?.open !== true) {
      throw new TransactionMisuse("a transaction was named outside of its body");
    }
    scope.afterCommit.push(action);
  }

  /** Throws inside the body of a transaction. */
  assertOutside(): void {
    if (this.#running.getStore()?.open === true) {
      throw new TransactionMisuse("inside a transaction only its own handle may be used, not the database's");
    }
  }
}
