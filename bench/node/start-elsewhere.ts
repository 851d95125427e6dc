import { parentPort, Worker, workerData } from "node:worker_threads";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { createNodeClient } from "../../src/client/node-client.ts";
import { users } from "./node-under-test.ts";

/** What is started. */
export interface StartTask {
  readonly url: string;
  readonly key: string;
  readonly config: string;
  readonly count: number;
  readonly tags: readonly string[];
}

/**
 * Starts a backend from a thread of its own, so that making and encoding the users holds up nobody here. Resolves with
 * the milliseconds from sending to the reply.
 */
export function startElsewhere(task: StartTask): Promise<number> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: task });
    worker.on("message", resolve).on("error", reject);
  });
}

if (parentPort !== null) {
  const { url, key, config, count, tags }: StartTask = workerData;
  const client = createNodeClient({ transport: createGrpcTransport({ baseUrl: url }), key });
  const all = users(count, tags);
  await client.getBaseInfo({}); // connects
  const startedAt = performance.now();
  await client.start({ config, users: all });
  parentPort.postMessage(performance.now() - startedAt);
}
