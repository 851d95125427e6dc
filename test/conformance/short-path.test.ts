import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { setTimeout as delay, setImmediate } from "node:timers/promises";
import { Code, ConnectError, createClient, type HandlerContext } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { NodeService } from "../../gen/service/node_pb.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { createServer, type Server } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { frame, user } from "./differential/frames.ts";
import { grpcFields } from "./differential/odd-grpc.ts";

// What the differential test cannot see from outside: what handlers are told, and what waits for whom.

/** What the handlers of the running test do. */
const handlers: {
  unary?: (context: HandlerContext) => Promise<object>;
  serverStream?: (context: HandlerContext) => AsyncGenerator<{ detail: string }>;
  clientStream?: (messages: AsyncIterable<unknown>, context: HandlerContext) => Promise<object>;
} = {};

const service = serveService(
  NodeService,
  {
    getStats: (_request, context) => handlers.unary?.(context) ?? {},
    getLogs: (_request, context) => handlers.serverStream?.(context) ?? nothing(),
    syncUser: (messages, context) => handlers.clientStream?.(messages, context) ?? Promise.resolve({}),
  },
  { validated: false },
);

async function* nothing() {}

let server: Server;
let session: ClientHttp2Session;

beforeAll(async () => {
  server = await createServer({
    services: [service],
    gate: ({ header }) => {
      // The router hands the gate real headers.
      if (header instanceof Headers) throw new Error("not on the short path");
    },
    host: "127.0.0.1",
    port: 0,
    log: createLog("test", "silent"),
    metrics: createMetrics("test"),
  });
  session = connect(server.url);
});
afterEach(() => {
  handlers.unary = undefined;
  handlers.serverStream = undefined;
  handlers.clientStream = undefined;
});
afterAll(async () => {
  session.destroy();
  await server.close();
});

function call(method: "GetStats" | "GetLogs" | "SyncUser"): ClientHttp2Stream {
  const stream = session.request(grpcFields(`/service.NodeService/${method}`));
  stream.on("error", () => undefined);
  return stream;
}

const empty = frame(new Uint8Array());

describe("a client that leaves", () => {
  test("aborts the signal of a unary handler", async () => {
    const { promise: reason, resolve } = Promise.withResolvers<unknown>();
    handlers.unary = async ({ signal }) => {
      await once(signal, "abort");
      resolve(signal.reason);
      return {};
    };
    const stream = call("GetStats");
    stream.end(empty);
    await delay(30);
    stream.close(constants.NGHTTP2_CANCEL);
    expect(await reason).toEqual(new ConnectError("the client has left", Code.Canceled));
  });

  test("ends a server stream at its yield, and aborts its signal", async () => {
    const ended = Promise.withResolvers<unknown>();
    handlers.serverStream = async function* ({ signal }) {
      try {
        for (;;) {
          yield { detail: "line" };
          await delay(2);
        }
      } catch (error) {
        ended.resolve({ error, aborted: signal.aborted });
        throw error;
      }
    };
    const stream = call("GetLogs");
    stream.end(empty);
    await once(stream, "data");
    stream.close(constants.NGHTTP2_CANCEL);
    expect(await ended.promise).toMatchObject({ error: { code: Code.Canceled }, aborted: true });
  });

  test("is an error to a handler that reads what it sends", async () => {
    const ended = Promise.withResolvers<unknown>();
    handlers.clientStream = async (messages) => {
      let count = 0;
      try {
        for await (const _ of messages) count += 1;
      } catch (error) {
        ended.resolve({ error, count });
      }
      return {};
    };
    const leaving = connect(server.url);
    const stream = leaving.request(grpcFields("/service.NodeService/SyncUser"));
    stream.write(Buffer.concat([frame(user), frame(user), frame(user).subarray(0, 8)]));
    await delay(30);
    leaving.socket.destroy();
    expect(await ended.promise).toMatchObject({ error: { code: Code.Canceled }, count: 2 });
  });
});

describe("backpressure", () => {
  test("a server stream waits for a client that does not read", async () => {
    let sent = 0;
    handlers.serverStream = async function* () {
      const detail = "x".repeat(1_000);
      for (; sent < 50_000; sent += 1) yield { detail };
    };
    const stream = call("GetLogs");
    stream.end(empty);
    await once(stream, "response");
    stream.pause();
    await vi.waitFor(async () => {
      const before = sent;
      await delay(100);
      expect(sent).toBe(before);
    });
    const stopped = sent;
    expect(stopped).toBeLessThan(5_000);
    stream.resume();
    await vi.waitFor(() => expect(sent).toBeGreaterThan(stopped + 1_000));
    stream.close(constants.NGHTTP2_CANCEL);
  });

  test("a client waits for a handler that does not read on", async () => {
    const goOn = Promise.withResolvers<void>();
    let read = 0;
    handlers.clientStream = async (messages) => {
      for await (const _ of messages) {
        read += 1;
        if (read === 1) await goOn.promise;
      }
      return {};
    };
    const stream = call("SyncUser");
    const body = Buffer.concat(Array(1_000).fill(frame(user)));
    let written = 0;
    // Far more than all windows hold.
    const total = 2_000;
    const writing = (async () => {
      for (; written < total; written += 1) if (!stream.write(body)) await once(stream, "drain");
      stream.end();
    })();
    await vi.waitFor(async () => {
      const before = written;
      await delay(150);
      expect(written).toBe(before);
    });
    expect(written).toBeLessThan(total);
    goOn.resolve();
    stream.resume();
    const [trailers] = (await Promise.all([once(stream, "trailers"), writing]))[0];
    expect(trailers["grpc-status"]).toBe("0");
    expect(read).toBe(total * 1_000);
  });

  test("the messages of a turn leave together, those of later turns do not wait", async () => {
    const next = Promise.withResolvers<void>();
    handlers.serverStream = async function* () {
      for (let count = 0; count < 100; count += 1) yield { detail: "x" };
      await next.promise;
      yield { detail: "last" };
    };
    const stream = call("GetLogs");
    stream.end(empty);
    const [first] = (await once(stream, "data")) as [Buffer];
    expect(first.length).toBe(100 * (5 + 3));
    next.resolve();
    const [second] = (await once(stream, "data")) as [Buffer];
    expect(second.toString("latin1", 7)).toBe("last");
  });
});

describe("what HTTP/2 refuses resets the stream and harms nothing else", () => {
  const refused = async (stream: ClientHttp2Stream) => {
    await new Promise((resolve) => stream.once("close", resolve));
    return stream.rstCode;
  };

  test("in the header", async () => {
    handlers.unary = async ({ responseHeader }) => {
      responseHeader.set("transfer-encoding", "chunked");
      return {};
    };
    const stream = call("GetStats");
    stream.end(empty);
    expect(await refused(stream)).toBe(constants.NGHTTP2_INTERNAL_ERROR);
  });

  test("in the trailer", async () => {
    handlers.serverStream = async function* ({ responseTrailer }) {
      yield { detail: "a" };
      responseTrailer.set("upgrade", "h2c");
    };
    const stream = call("GetLogs");
    stream.end(empty);
    stream.resume();
    expect(await refused(stream)).toBe(constants.NGHTTP2_INTERNAL_ERROR);
  });

  test("in the header of a stream that has more to say", async () => {
    const ended = Promise.withResolvers<void>();
    handlers.serverStream = async function* ({ responseHeader }) {
      responseHeader.set("keep-alive", "1");
      try {
        for (;;) {
          yield { detail: "a" };
          await setImmediate();
        }
      } finally {
        ended.resolve();
      }
    };
    const stream = call("GetLogs");
    stream.end(empty);
    expect(await refused(stream)).toBe(constants.NGHTTP2_INTERNAL_ERROR);
    await ended.promise;
  });

  test("and a message that cannot be written is an internal error", async () => {
    handlers.serverStream = async function* () {
      yield { detail: "a" };
      yield { detail: Object.create(null) };
    };
    const client = createClient(NodeService, createGrpcTransport({ baseUrl: server.url }));
    const received: string[] = [];
    const reading = (async () => {
      for await (const { detail } of client.getLogs({})) received.push(detail);
    })();
    await expect(reading).rejects.toMatchObject({ code: Code.Internal });
    expect(received).toEqual(["a"]);
  });
});

describe("a call that is over", () => {
  test("has an aborted signal, on both protocols", async () => {
    const signals: AbortSignal[] = [];
    handlers.unary = async ({ signal }) => {
      signals.push(signal);
      return {};
    };
    const transports = [
      createGrpcTransport({ baseUrl: server.url }),
      createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }),
      createConnectTransport({ baseUrl: server.url, httpVersion: "2" }),
    ];
    for (const transport of transports) await createClient(NodeService, transport).getStats({});
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true, true]);
  });

  test("whose client waits no longer than its deadline is answered at it", async () => {
    handlers.serverStream = async function* ({ signal, timeoutMs }) {
      yield { detail: String((timeoutMs() ?? 0) > 0) };
      await once(signal, "abort");
      throw signal.reason;
    };
    const client = createClient(NodeService, createGrpcTransport({ baseUrl: server.url }));
    const received: string[] = [];
    const reading = (async () => {
      for await (const { detail } of client.getLogs({}, { timeoutMs: 500 })) received.push(detail);
    })();
    await expect(reading).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    expect(received).toEqual(["true"]);
  });

  test("since the server goes down ends its stream, and later calls go to the router", async () => {
    const other = await createServer({
      services: [service],
      gate: () => undefined,
      host: "127.0.0.1",
      port: 0,
      log: createLog("test", "silent"),
      metrics: createMetrics("test"),
    });
    handlers.serverStream = async function* ({ signal }) {
      yield { detail: "a" };
      await once(signal, "abort");
      throw signal.reason;
    };
    const client = createClient(NodeService, createGrpcTransport({ baseUrl: other.url }));
    const iterator = client.getLogs({})[Symbol.asyncIterator]();
    await iterator.next();
    const closing = other.close();
    await expect(iterator.next()).rejects.toMatchObject({ code: Code.Unavailable });
    await closing;
  });
});
