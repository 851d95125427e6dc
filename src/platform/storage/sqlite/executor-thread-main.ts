// A thread that executes what it is asked to on one SQLite database.
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { createExecutor, type SqliteExecutor } from "./executor.ts";
import type { SqliteFailure, ThreadOptions, ThreadReply, ThreadRequest } from "./executor-thread.ts";

const { file, lockTimeoutMs, int64 } = workerData as ThreadOptions;
const database = new DatabaseSync(file, { timeout: lockTimeoutMs });
const executor = createExecutor({ database, int64: new Set(int64), now: () => performance.now() });
const reply = (message: ThreadReply) => parentPort?.postMessage(message);

parentPort?.on("message", ([name, ...parameters]: ThreadRequest) => {
  const execute: (...parameters: readonly never[]) => Promise<unknown> = executor[name as keyof SqliteExecutor];
  execute(...(parameters as never[])).then(
    (result) => reply({ result }),
    (error: SqliteFailure) => reply({ error: { message: error.message, code: error.code, errcode: error.errcode } }),
  );
});
