// A thread that executes what it is asked to on one SQLite database.
import { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { createExecutor } from "./executor.ts";
import type { SqliteFailure, ThreadOptions, ThreadReply, ThreadRequest } from "./executor-thread.ts";
import { unpack } from "./packed-values.ts";

const { file, lockTimeoutMs, int64 } = workerData as ThreadOptions;
const database = new DatabaseSync(file, { timeout: lockTimeoutMs });
const executor = createExecutor({ database, int64: new Set(int64), now: () => performance.now() });
const reply = (message: ThreadReply) => parentPort?.postMessage(message);

function execute(request: ThreadRequest): Promise<unknown> {
  if (request[0] === "executeBulk") {
    const [, work, values] = request;
    return executor.executeBulk({ ...work, values: unpack(values) });
  }
  const [name, ...parameters] = request;
  const called: (...parameters: readonly never[]) => Promise<unknown> = executor[name];
  return called(...(parameters as never[]));
}

parentPort?.on("message", (request: ThreadRequest) => {
  execute(request).then(
    (result) => reply({ result }),
    (error: SqliteFailure) => reply({ error: { message: error.message, code: error.code, errcode: error.errcode } }),
  );
});
