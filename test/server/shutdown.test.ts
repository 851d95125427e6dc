import { Code, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { NodeService } from "../../gen/service/node_pb.ts";
import { defaultLimits } from "../../src/platform/listener/limits.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { createServer } from "../../src/platform/server/server.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";

test("unary calls that do not finish are told so, or cut, and do not keep the server longer than 10 s", async () => {
  let running = 0;
  const patient = serveService(
    NodeService,
    {
      getBaseInfo(_request, { signal }) {
        running += 1;
        return new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
        });
      },
      stop() {
        running += 1;
        return new Promise<never>(() => undefined); // does not look at its signal
      },
    },
    { validated: false },
  );
  const server = await createServer({
    services: [patient],
    gate: () => undefined,
    host: "127.0.0.1",
    port: 0,
    log: createLog("test", "silent"),
    metrics: createMetrics("test"),
  });
  const baseUrl = server.url;
  const clients = [
    createGrpcTransport({ baseUrl }),
    createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
    createConnectTransport({ baseUrl, httpVersion: "1.1" }),
    createConnectTransport({ baseUrl, httpVersion: "2" }),
  ].map((transport) => createClient(NodeService, transport));
  const codeOf = ({ code }: { code: Code }) => Code[code];
  const told = Promise.all(clients.map((client) => client.getBaseInfo({}).then(() => "answered", codeOf)));
  const toldInRest = fetch(`${baseUrl}/info`).then(({ status }) => status);
  const cut = Promise.allSettled([
    ...clients.map((client) => client.stop({})),
    fetch(`${baseUrl}/stop`, { method: "PUT" }),
  ]);
  await expect.poll(() => running).toBe(10);

  const startedAt = performance.now();
  await server.close();
  expect(performance.now() - startedAt).toBeLessThan(10_500);
  expect(await told).toEqual(clients.map(() => "Unavailable"));
  expect(await toldInRest).toBe(503);
  expect((await cut).map(({ status }) => status)).toEqual(Array(5).fill("rejected"));
}, 20_000);

test("connections are given the times and windows that are promised", () => {
  const { firstHeadTimeoutMs, bodyStallTimeoutMs, http1IdleTimeoutMs, http2IdleTimeoutMs } = defaultLimits;
  const checkedEveryMs = 1_000;
  expect(firstHeadTimeoutMs + checkedEveryMs).toBeLessThanOrEqual(15_000);
  expect(bodyStallTimeoutMs + checkedEveryMs).toBeLessThanOrEqual(60_000);
  expect(http2IdleTimeoutMs).toBeGreaterThanOrEqual(10 * 60_000);
  expect(http1IdleTimeoutMs).toBeGreaterThanOrEqual(75_000);
  expect(defaultLimits).toMatchObject({
    maxStreams: 256,
    untrustedWindows: { stream: 256 * 1024, connection: 1024 * 1024 },
    trustedWindows: { stream: 16 * 1024 * 1024, connection: 64 * 1024 * 1024 },
  });
});
