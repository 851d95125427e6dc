import { type ClientHttp2Session, connect } from "node:http2";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createServer, type Server } from "../../../src/platform/server/server.ts";
import { createLog } from "../../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../../src/platform/telemetry/metrics.ts";
import { exchangeHttp1 } from "./exchange-http1.ts";
import { exchangeHttp2, type Http2Outcome } from "./exchange-http2.ts";
import { connectFields, oddConnect } from "./odd-connect.ts";
import { grpcFields, oddGrpc, readMaxBytes } from "./odd-grpc.ts";
import { oddHttp1, overHttp1 } from "./odd-http1.ts";
import { oddGate, oddService } from "./odd-service.ts";

// The same odd requests to a server with the short path and to one without: what comes back must not differ.

interface Side {
  server: Server;
  session: ClientHttp2Session;
  /** Whether the short path took the last call that the gate was asked about. */
  taken: boolean | undefined;
}

let short: Side;
let router: Side;

beforeAll(async () => {
  [short, router] = await Promise.all([start(true), start(false)]);
});
afterAll(async () => {
  for (const { session } of [short, router]) session.destroy();
  await Promise.all([short, router].map(({ server }) => server.close()));
});

describe("gRPC over HTTP/2 is answered alike on the short path and by the router", () => {
  test.each(oddGrpc)("$name", async ({ method = "GetStats", left = false, ...request }) => {
    const fields = grpcFields(`/service.NodeService/${method}`);
    await compare(left, async ({ session }) => inOnePiece(await exchangeHttp2(session, fields, request)));
  });
});

describe("unary Connect over HTTP/2 is answered alike on the short path and by the router", () => {
  test.each(oddConnect)("$name", async ({ path, left = false, ...request }) => {
    const fields = { ...connectFields, ...(path !== undefined && { ":path": path }) };
    await compare(left, ({ session }) => exchangeHttp2(session, fields, request));
  });
});

describe("unary Connect over HTTP/1.1 is answered alike on the short path and by the router", () => {
  test.each([...oddConnect.map(overHttp1), ...oddHttp1])("$name", async ({ pieces, left = false }) => {
    await compare(left, ({ server }) => exchangeHttp1(Number(new URL(server.url).port), pieces));
  });
});

async function compare(left: boolean, exchange: (side: Side) => Promise<unknown>): Promise<void> {
  const [answer, expected] = await Promise.all(
    [short, router].map((side) => {
      side.taken = undefined;
      return exchange(side);
    }),
  );
  expect(answer).toEqual(expected);
  // A request that was refused before the gate tells nothing of who served it.
  expect(router.taken ?? false).toBe(false);
  if (left) expect(short.taken ?? false).toBe(false);
  else expect(short.taken).toBe(true);
}

async function start(shortPath: boolean): Promise<Side> {
  const side: Partial<Side> = {};
  // The router hands the gate real headers, the short path its own.
  const gate = oddGate((header) => {
    side.taken = !(header instanceof Headers);
  });
  const server = await createServer({
    services: [oddService],
    gate,
    host: "127.0.0.1",
    port: 0,
    maxMessageBytes: readMaxBytes,
    shortPath,
    log: createLog("test", "silent"),
    metrics: createMetrics("test"),
  });
  return Object.assign(side, { server, session: connect(server.url), taken: undefined });
}

// An error before the first message may be told in one frame or in two: to gRPC that is the same.
function inOnePiece({ header, trailer, ...rest }: Http2Outcome): unknown {
  const status = header["grpc-status"] ?? trailer["grpc-status"];
  const failed = status !== undefined && status !== "0";
  return failed && rest.body === "" ? { fields: { ...header, ...trailer }, ...rest } : { header, trailer, ...rest };
}
