import { Worker } from "node:worker_threads";
import type { BulkWork } from "./bulk-parts.ts";
import type { Executed, SqliteExecutor } from "./executor.ts";
import { type PackedValues, pack } from "./packed-values.ts";

/** What the thread is told. */
export interface ThreadOptions {
  readonly file: string;
  /** Statements that the connection begins with. */
  readonly prologue: string;
  readonly lockTimeoutMs: number;
  readonly int64: readonly string[];
}

/** One thing to do: the name of a function of {@link SqliteExecutor}, and its arguments. */
export type ThreadRequest =
  | readonly ["executeBulk", work: Omit<BulkWork, "values">, values: PackedValues]
  | {
      [Name in UnpackedName]: readonly [name: Name, ...parameters: Parameters<SqliteExecutor[Name]>];
    }[UnpackedName];

type UnpackedName = Exclude<keyof SqliteExecutor, "executeBulk">;

/** What came of it. Of an error what SQLite says of it, since its class does not come along. */
export type ThreadReply = { readonly result: unknown } | { readonly error: SqliteFailure };

/** An error of `node:sqlite`. */
export interface SqliteFailure {
  readonly message: string;
  readonly code?: unknown;
  readonly errcode?: unknown;
}

/**
 * Executes in a thread of its own, so that a long transaction, the disk and SQLite's checkpoints hold up nobody in this
 * one. Rejects when the file cannot be opened.
 */
export async function openExecutorThread(options: ThreadOptions): Promise<SqliteExecutor> {
  const worker = new Worker(new URL("./executor-thread-main.ts", import.meta.url), { workerData: options });
  // Answers come in the order of the requests.
  const waiting: PromiseWithResolvers<unknown>[] = [];
  let gone: Error | undefined;
  worker.on("message", (reply: ThreadReply) => {
    const next = waiting.shift();
    if ("error" in reply) next?.reject(Object.assign(new Error(reply.error.message), reply.error));
    else next?.resolve(reply.result);
  });
  const fail = (error: Error) => {
    gone ??= error;
    for (const each of waiting.splice(0)) each.reject(gone);
  };
  worker.on("error", fail);
  worker.on("exit", (code) => fail(new Error(`the thread of the database has ended with ${code}`)));

  const ask = async (request: ThreadRequest, moved: readonly ArrayBuffer[] = []): Promise<unknown> => {
    if (gone !== undefined) throw gone;
    const answer = Promise.withResolvers<unknown>();
    waiting.push(answer);
    worker.postMessage(request, moved);
    return answer.promise;
  };
  const executor: SqliteExecutor = {
    exec: async (sql) => void (await ask(["exec", sql])),
    execute: async (sql, parameters) => (await ask(["execute", sql, parameters])) as Executed,
    executeMany: async (sql, rows) => (await ask(["executeMany", sql, rows])) as number,
    async executeBulk({ texts, shared, values }) {
      const packed = pack(values.slice(0, values.length));
      const moved = [packed.integers.buffer, packed.kinds.buffer];
      return (await ask(["executeBulk", { texts, shared }, packed], moved)) as Executed;
    },
    rollback: async () => void (await ask(["rollback"])),
    async close() {
      await ask(["close"]);
      await worker.terminate();
    },
  };
  try {
    await executor.exec(options.prologue);
    return executor;
  } catch (error) {
    await worker.terminate();
    throw error;
  }
}
