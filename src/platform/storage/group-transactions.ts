import type { ControlledTransaction, Transaction } from "kysely";
import type { TransactionScope } from "./transaction-scope.ts";

/**
 * Executes `body` as a transaction, but may commit it together with others that wait at the same time: where transactions
 * go one after another anyway, and each commit is written through to the disk, several cost little more than one. Each
 * still is as if it were alone: its promise settles after the commit, and one that fails takes nothing of the others with
 * it. The body may be called again for any reason; it must have no effects besides.
 */
export type GroupTransact<S> = <T>(body: (tx: Transaction<S>) => Promise<T>) => Promise<T>;

/** Options of {@link createGroupTransact}. */
export interface GroupTransactOptions<S> {
  /** Executes a transaction. Its handle knows savepoints. */
  transact: <T>(body: (tx: ControlledTransaction<S>) => Promise<T>) => Promise<T>;
  scope: TransactionScope;
  /** Milliseconds of a clock that never goes back. */
  now(): number;
}

/** Makes the function that executes transactions in groups. */
export function createGroupTransact<S>({ transact, scope, now }: GroupTransactOptions<S>): GroupTransact<S> {
  const waiting: Job<S>[] = [];
  let working = false;

  async function work(): Promise<void> {
    if (working) return;
    working = true;
    for (let first = waiting.shift(); first !== undefined; first = waiting.shift()) await executeGroup(first);
    working = false;
  }

  /** Executes a job, and those that come to wait meanwhile. Whose job is not committed with the others is alone then. */
  async function executeGroup(first: Job<S>): Promise<void> {
    const group = [first];
    const outcomes = await transact((tx) => executeAll(tx, group)).catch((error: unknown) => {
      if (group.length > 1) return [];
      first.fail(error);
      return undefined;
    });
    if (outcomes === undefined) return;
    for (const [index, job] of group.entries()) {
      const outcome = outcomes[index];
      if (outcome === undefined) await transact(job.execute).then((settle) => settle(), job.fail);
      else outcome();
    }
  }

  async function executeAll(tx: ControlledTransaction<S>, group: Job<S>[]): Promise<Outcome[]> {
    const endsAt = now() + longestMs;
    const outcomes: Outcome[] = [];
    for (let index = 0; ; index += 1) {
      if (index === group.length && index < mostJobs && now() < endsAt) group.push(...waiting.splice(0, 1));
      const job = group[index];
      if (job === undefined) return outcomes;
      // What the first one has written goes with the transaction when it fails.
      outcomes.push(index === 0 ? await job.execute(tx) : await executeAside(tx, job));
    }
  }

  /** Executes a job so that nothing of it stays when it fails. */
  async function executeAside(tx: ControlledTransaction<S>, job: Job<S>): Promise<Outcome> {
    const before = await tx.savepoint("job").execute();
    try {
      const { result, afterCommit } = await scope.run(() => job.execute(tx));
      await before.releaseSavepoint("job").execute();
      for (const action of afterCommit) scope.afterCommit(action);
      return result;
    } catch {
      // It is executed again alone, and tells what is wrong then.
      await before.rollbackToSavepoint("job").execute();
      return undefined;
    }
  }

  return (body) => {
    scope.assertOutside();
    return new Promise((resolve, reject) => {
      waiting.push({
        async execute(tx) {
          const result = await body(tx);
          return () => resolve(result);
        },
        fail: reject,
      });
      void work();
    });
  };
}

/** A transaction that somebody waits for. */
interface Job<S> {
  /** Returns what tells its result to whoever waits. */
  execute(tx: Transaction<S>): Promise<() => void>;
  fail(error: unknown): void;
}

/** Tells a job's result; undefined: the job has failed. */
type Outcome = (() => void) | undefined;

// Everybody else waits for the group to end.
const mostJobs = 16;
const longestMs = 50;
