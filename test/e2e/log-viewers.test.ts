import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { NodeService } from "../../gen/service/node_pb.ts";
import { createNodeService } from "../../src/node/api/node-service.ts";
import { createServer, type Server } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { createMemoryRuntime, type MemoryRuntime } from "../support/memory-runtime.ts";

// Viewers of the log over every protocol of the API, on one real port; the engine says what the test wants.

let server: Server;
let memory: MemoryRuntime;
beforeEach(async () => {
  memory = createMemoryRuntime();
  server = await createServer({
    services: [createNodeService({ runtime: memory.runtime, nodeVersion: "9.8.7" })],
    gate: () => undefined,
    host: "127.0.0.1",
    port: 0,
    log: createLog("test", "silent"),
    metrics: createMetrics("test"),
  });
  await createClient(NodeService, createGrpcTransport({ baseUrl: server.url })).start({ config: "{}" });
});
afterEach(async () => {
  await server.close();
  await memory.runtime.close();
});

/** Opens the log; resolves when the head of the answer is there. */
type Open = (url: string, signal: AbortSignal) => Promise<AsyncIterable<string>>;

const overRpc =
  (transportOf: (baseUrl: string) => Transport): Open =>
  async (url, signal) => {
    const head = Promise.withResolvers<void>();
    const client = createClient(NodeService, transportOf(url));
    const messages = client.getLogs({}, { signal, onHeader: () => head.resolve() })[Symbol.asyncIterator]();
    const first = messages.next();
    await Promise.race([head.promise, first]);
    return (async function* () {
      for (let next = await first; next.done !== true; next = await messages.next()) yield next.value.detail;
    })();
  };

async function openRest(url: string, signal: AbortSignal, accept = "*/*"): Promise<IncomingMessage> {
  const call = request(new URL("/logs", url), { agent: false, headers: { accept }, signal });
  call.end();
  const [response] = (await once(call, "response")) as [IncomingMessage];
  response.on("error", () => undefined); // it was left
  return response;
}

const viewers: Record<string, Open> = {
  gRPC: overRpc((baseUrl) => createGrpcTransport({ baseUrl })),
  "gRPC-Web": overRpc((baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })),
  "Connect over HTTP/1.1": overRpc((baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" })),
  "Connect over HTTP/2": overRpc((baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" })),
  REST: async (url, signal) => createInterface(await openRest(url, signal)),
  "REST events": async (url, signal) => {
    const lines = createInterface(await openRest(url, signal, "text/event-stream"));
    return (async function* () {
      for await (const line of lines) if (line.startsWith("data: ")) yield line.slice("data: ".length);
    })();
  },
};

/** Opens the log and reads until the test or the backend ends. */
async function follow(open: Open): Promise<{ lines: string[]; done: Promise<void> }> {
  const leaving = new AbortController();
  onTestFinished(() => leaving.abort());
  const lines: string[] = [];
  const log = await open(server.url, leaving.signal);
  const read = async () => {
    for await (const line of log) lines.push(line);
  };
  return { lines, done: read().catch(() => undefined) };
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => `line ${from + index}`);
const printAll = (lines: readonly string[]) => {
  for (const line of lines) memory.engine.print(line);
};

test.each(Object.entries(viewers))("over %s a quiet log opens at once", async (_, open) => {
  const opened = follow(open);
  expect(await Promise.race([opened, sleep(5_000, "no answer")])).not.toBe("no answer");
  const { lines } = await opened;
  memory.engine.print("first");
  await expect.poll(() => lines).toEqual(["first"]);
});

test("viewers over every protocol see the lines that there are, every new one, and the end", async () => {
  printAll(numbers(0, 3));
  const following = await Promise.all(Object.values(viewers).map(follow));
  for (let burst = 3; burst < 3_003; burst += 300) {
    printAll(numbers(burst, burst + 300));
    await sleep(1);
  }
  await memory.runtime.stop();
  await Promise.all(following.map(({ done }) => done));
  for (const { lines } of following) expect(lines).toEqual(numbers(0, 3_003));
});

test("two viewers lose nothing of 5,000 lines a second", async () => {
  const following = await Promise.all([viewers.gRPC ?? expect.fail(), viewers.REST ?? expect.fail()].map(follow));
  const startedAt = performance.now();
  for (let printed = 0; printed < 15_000; printed += 100) {
    printAll(numbers(printed, printed + 100));
    await sleep(Math.max(0, startedAt + printed / 5 - performance.now()));
  }
  await memory.runtime.stop();
  await Promise.all(following.map(({ done }) => done));
  for (const { lines } of following) expect(lines).toEqual(numbers(0, 15_000));
}, 60_000);

const overEach = Object.keys(viewers).filter((name) => name !== "REST events");

describe.each(overEach)("a viewer over %s that stops reading", (name) => {
  test("is told how many lines it has lost, and nobody else loses any", async () => {
    const total = 40_000;
    const long = "x".repeat(1_000);
    const leaving = new AbortController();
    onTestFinished(() => leaving.abort());
    const open = viewers[name] ?? expect.fail();
    const slow = (await open(server.url, leaving.signal))[Symbol.asyncIterator]();
    const quick = await follow(viewers.gRPC ?? expect.fail());
    for (let printed = 0; printed < total; printed += 1_000) {
      printAll(numbers(printed, printed + 1_000).map((line) => `${line} ${long}`));
      await expect.poll(() => quick.lines.length, { interval: 5, timeout: 10_000 }).toBe(printed + 1_000);
    }
    let seen = 0;
    let lost = 0;
    for (let last = ""; !last.startsWith(`line ${total - 1} `); ) {
      last = String((await slow.next()).value);
      const told = /^\[garrison\] (\d+) lines? (?:was|were) lost: this viewer reads too slowly$/.exec(last);
      if (told === null) seen += 1;
      else lost += Number(told[1]);
      // What is not seen was told of before what is seen next.
      if (told === null) expect(last).toBe(`line ${seen + lost - 1} ${long}`);
    }
    expect(lost).toBeGreaterThan(1_000);
    expect(seen + lost).toBe(total);
  }, 60_000);
});
