import { once } from "node:events";
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from "node:http2";
import { parentPort, Worker, workerData } from "node:worker_threads";
import { type CallTask, type EncodedCall, encodeCall } from "./calls.ts";

/**
 * A caller in a thread of its own, with a connection of its own. What is measured is what the node and the way to it
 * take: calls are encoded before, and answers not decoded, since how fast that is depends on the caller.
 */
export interface Caller {
  /** Encodes a call, to be sent as often as one likes. */
  prepare(task: CallTask): Promise<PreparedCall>;
  close(): Promise<void>;
}

/** A call that is ready to be sent. */
export interface PreparedCall {
  /** Sends it. Resolves with the milliseconds until the answer was there, whole; rejects when it says that it failed. */
  send(): Promise<number>;
}

/** Connects a caller to a node that serves plain text. */
export async function startCaller({ url, key }: { url: string; key: string }): Promise<Caller> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { url, key } });
  const ask = async (question: Question): Promise<Reply> => {
    worker.postMessage(question);
    const [reply] = await once(worker, "message"); // one question at a time
    return reply;
  };
  await once(worker, "message");
  let prepared = 0;
  return {
    async prepare(task) {
      const id = prepared++;
      await ask({ id, task });
      return {
        async send() {
          const { ms, failure } = await ask({ id });
          if (failure !== undefined) throw new Error(failure);
          return ms;
        },
      };
    },
    async close() {
      await worker.terminate();
    },
  };
}

interface Question {
  readonly id: number;
  /** Absent: it is sent. */
  readonly task?: CallTask;
}

interface Reply {
  readonly ms: number;
  readonly failure?: string | undefined;
}

async function send(session: ClientHttp2Session, key: string, { path, body }: EncodedCall): Promise<Reply> {
  const startedAt = performance.now();
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    "x-api-key": key,
  });
  let fields: IncomingHttpHeaders = {};
  stream.on("response", (headers) => {
    fields = headers;
  });
  stream.on("trailers", (trailers) => {
    fields = { ...fields, ...trailers };
  });
  stream.resume();
  stream.end(body);
  await once(stream, "close");
  const ms = performance.now() - startedAt;
  const failed = fields["grpc-status"] !== "0";
  return { ms, failure: failed ? decodeURIComponent(String(fields["grpc-message"] ?? "no status")) : undefined };
}

if (parentPort !== null) {
  const port = parentPort;
  const { url, key }: { url: string; key: string } = workerData;
  const session = connect(url, { settings: { initialWindowSize: 16 << 20 } });
  await once(session, "connect");
  session.setLocalWindowSize(16 << 20);
  const calls = new Map<number, EncodedCall>();
  // The node grants larger windows to a connection once a call has passed.
  await send(session, key, { path: "/service.NodeService/GetBaseInfo", body: Buffer.alloc(5) });
  port.on("message", async ({ id, task }: Question) => {
    const call = calls.get(id);
    if (task !== undefined) {
      calls.set(id, encodeCall(task));
      port.postMessage({ ms: 0 });
    } else if (call !== undefined) {
      port.postMessage(await send(session, key, call));
    }
  });
  port.postMessage({ ms: 0 });
}
