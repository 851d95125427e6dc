// The same calls as the product's server, on the stock plugin for Fastify, with the same work around them.
import { performance } from "node:perf_hooks";
import { Code, ConnectError, type ConnectRouter, type Interceptor } from "@connectrpc/connect";
import { fastifyConnectPlugin } from "@connectrpc/connect-fastify";
import { compressionGzip } from "@connectrpc/connect-node";
import fastify from "fastify";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { benchService, isKey } from "./bench-service.ts";

const log = createLog("bench", "warn");
const { calls } = createMetrics("bench");

const observe: Interceptor = (next) => async (request) => {
  const startedAt = performance.now();
  calls.started();
  const response = await next(request);
  const seconds = (performance.now() - startedAt) / 1000;
  const labels = { service: request.service.typeName, method: request.method.name, protocol: "connect", code: "ok" };
  calls.ended(labels, seconds);
  if (log.isLevelEnabled("debug")) log.debug(labels, "call");
  return response;
};

const app = fastify({ logger: false });
await app.register(fastifyConnectPlugin, {
  routes(router: ConnectRouter) {
    for (const { method, impl } of benchService.methods) router.rpc(method, impl);
  },
  interceptors: [observe],
  acceptCompression: [compressionGzip],
  readMaxBytes: 64 * 1024 * 1024,
  requestGate({ requestHeader }) {
    if (!isKey(requestHeader.get("x-api-key"))) throw new ConnectError("no key", Code.Unauthenticated);
  },
});
console.log(new URL(await app.listen({ host: "127.0.0.1", port: 0 })).port);
process.once("SIGTERM", () => process.exit());
