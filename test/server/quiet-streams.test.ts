import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { text } from "node:stream/consumers";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { NodeService } from "../../gen/service/node_pb.ts";
import { PublicError } from "../../src/platform/rpc/public-error.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { createServer, type Server } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";

// A stream whose handler has nothing to say yet: its head leaves all the same, over every protocol.

const headMaxMs = 50;
const refusal = () => new PublicError("not today", Code.FailedPrecondition);

/** Resolves when the handler may go on; rejects with what it is to throw. */
let speech = Promise.withResolvers<void>();
let ended = 0;
const service = serveService(
  NodeService,
  {
    async *getLogs(_request, { responseHeader, signal }) {
      responseHeader.set("x-mood", "quiet");
      responseHeader.append("set-cookie", "a=1");
      responseHeader.append("set-cookie", "b=2");
      const left = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      try {
        await Promise.race([speech.promise, left]);
        if (!signal.aborted) yield { detail: "at last" };
      } finally {
        ended += 1;
      }
    },
  },
  { validated: false },
);

let short: Server;
let routed: Server;
beforeAll(async () => {
  const serve = (shortPath: boolean) =>
    createServer({
      services: [service],
      gate: () => undefined,
      host: "127.0.0.1",
      port: 0,
      shortPath,
      corsOrigins: ["http://panel.test"],
      log: createLog("test", "silent"),
      metrics: createMetrics("test"),
    });
  [short, routed] = await Promise.all([serve(true), serve(false)]);
});
beforeEach(() => {
  speech = Promise.withResolvers();
  speech.promise.catch(() => undefined); // not every call is still there to be told
  ended = 0;
});
afterAll(() => Promise.all([short.close(), routed.close()]));

interface Opened {
  readonly header: Headers;
  /** What comes behind the head, to the end. */
  readonly lines: Promise<string[]>;
}

const rpc = (transport: Transport, signal: AbortSignal): Promise<Opened> =>
  new Promise((resolve, reject) => {
    const lines = Array.fromAsync(
      createClient(NodeService, transport).getLogs({}, { signal, onHeader: (header) => resolve({ header, lines }) }),
      ({ detail }) => detail,
    );
    lines.catch(reject);
  });

const headersOf = (fields: IncomingHttpHeaders) =>
  new Headers(
    Object.entries(fields).flatMap(([name, value]) =>
      name.startsWith(":") ? [] : [value ?? ""].flat().map((each): [string, string] => [name, each]),
    ),
  );

async function rest1(url: string, signal: AbortSignal, accept: string): Promise<Opened> {
  const call = request(new URL("/logs", url), { agent: false, headers: { accept }, signal });
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  const lines = text(response).then(linesOf);
  lines.catch(() => undefined);
  return { header: headersOf(response.headers), lines };
}

async function rest2(url: string, signal: AbortSignal, accept: string): Promise<Opened> {
  const session = connect(url);
  onTestFinished(() => session.destroy());
  const stream = session.request({ ":path": "/logs", accept }, { signal });
  stream.on("error", () => undefined);
  const [head] = (await once(stream, "response")) as [IncomingHttpHeaders];
  const lines = text(stream).then(linesOf);
  lines.catch(() => undefined);
  return { header: headersOf(head), lines };
}

const linesOf = (body: string) =>
  body
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(/^data: /, ""));

type Open = (signal: AbortSignal) => Promise<Opened>;

const rpcWays: Record<string, Open> = {
  gRPC: (signal) => rpc(createGrpcTransport({ baseUrl: short.url }), signal),
  "gRPC through the router": (signal) => rpc(createGrpcTransport({ baseUrl: routed.url }), signal),
  "gRPC-Web over HTTP/1.1": (signal) => rpc(createGrpcWebTransport({ baseUrl: short.url, httpVersion: "1.1" }), signal),
  "gRPC-Web over HTTP/2": (signal) => rpc(createGrpcWebTransport({ baseUrl: short.url, httpVersion: "2" }), signal),
  "Connect over HTTP/1.1": (signal) => rpc(createConnectTransport({ baseUrl: short.url, httpVersion: "1.1" }), signal),
  "Connect over HTTP/2": (signal) => rpc(createConnectTransport({ baseUrl: short.url, httpVersion: "2" }), signal),
  "Connect with JSON": (signal) =>
    rpc(createConnectTransport({ baseUrl: short.url, httpVersion: "2", useBinaryFormat: false }), signal),
};
const restWays: Record<string, Open> = {
  "REST lines over HTTP/1.1": (signal) => rest1(short.url, signal, "*/*"),
  "REST lines over HTTP/2": (signal) => rest2(short.url, signal, "*/*"),
  "REST events over HTTP/1.1": (signal) => rest1(short.url, signal, "text/event-stream"),
  "REST events over HTTP/2": (signal) => rest2(short.url, signal, "text/event-stream"),
};

function leaving(): AbortController {
  const controller = new AbortController();
  onTestFinished(() => controller.abort());
  return controller;
}

describe.each(Object.entries({ ...rpcWays, ...restWays }))("a quiet stream: %s", (_, open) => {
  test(`its head is there within ${headMaxMs} ms, with what the handler has set`, async () => {
    const times: number[] = [];
    // The machine may be busy with something else, but not every time.
    for (let attempt = 0; attempt < 20 && Math.min(...times) > headMaxMs; attempt += 1) {
      const asked = performance.now();
      const { header } = await open(leaving().signal);
      times.push(performance.now() - asked);
      expect(header.get("x-mood")).toBe("quiet");
      expect(header.getSetCookie()).toEqual(["a=1", "b=2"]);
      expect(header.get("x-request-id")).toMatch(/./);
    }
    expect(Math.min(...times)).toBeLessThan(headMaxMs);
  });

  test("what comes behind the head is whole, and the stream ends well", async () => {
    const { lines } = await open(leaving().signal);
    speech.resolve();
    expect(await lines).toEqual(["at last"]);
  });

  test("a client that leaves behind the head is noticed by the handler", async () => {
    const controller = leaving();
    const { lines } = await open(controller.signal);
    controller.abort();
    await expect(lines).rejects.toThrow();
    await vi.waitFor(() => expect(ended).toBe(1));
  });
});

describe.each(Object.entries(rpcWays))("a quiet stream that fails: %s", (_, open) => {
  test("the error is told behind the head", async () => {
    const { lines } = await open(leaving().signal);
    speech.reject(refusal());
    const failure = await lines.catch(ConnectError.from);
    expect(failure).toMatchObject({ code: Code.FailedPrecondition, rawMessage: "not today" });
  });

  test("so is one that comes at once", async () => {
    speech.reject(refusal());
    const failure = await open(leaving().signal).then(({ lines }) => lines.catch(ConnectError.from), ConnectError.from);
    expect(failure).toMatchObject({ code: Code.FailedPrecondition, rawMessage: "not today" });
  });
});

test("pages of an allowed origin may read a head that leaves before its stream", async () => {
  const call = request(new URL("/service.NodeService/GetLogs", short.url), {
    method: "POST",
    agent: false,
    headers: { origin: "http://panel.test", "content-type": "application/grpc-web+proto" },
    signal: leaving().signal,
  });
  call.end(Buffer.alloc(5));
  const [response] = (await once(call, "response")) as [IncomingMessage];
  response.on("error", () => undefined); // it is left
  expect(response.headers["access-control-allow-origin"]).toBe("http://panel.test");
});
