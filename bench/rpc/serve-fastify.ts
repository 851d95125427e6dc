// REST routes written by hand: one that does the work of the derived one, and a bare one.
import { performance } from "node:perf_hooks";
import fastify from "fastify";
import { createRequestIds } from "../../src/platform/server/request-ids.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { isKey } from "./bench-service.ts";
import { itemOf } from "./item-service.ts";

const log = createLog("bench", "warn");
const { calls } = createMetrics("bench");
const requestIds = createRequestIds();
const labels = { service: "items", method: "GetItem", protocol: "rest", code: "ok" };
const app = fastify({ logger: false });

app.get<{ Params: { id: string } }>("/api/bare/items/:id", async ({ headers, params }, reply) => {
  const requestId = requestIds(headers["x-request-id"]);
  reply.header("x-request-id", requestId);
  const given = headers["x-api-key"];
  if (typeof given !== "string" || !isKey(given)) return reply.code(401).send({ ok: false, error: "no key" });
  const startedAt = performance.now();
  calls.started();
  // What a validator of the request would check: the route's one parameter.
  if (typeof params.id !== "string") return reply.code(400).send({ ok: false, error: "no id" });
  const item = { ...itemOf(params.id), ownerId: null };
  const seconds = (performance.now() - startedAt) / 1000;
  calls.ended(labels, seconds);
  if (log.isLevelEnabled("debug")) log.debug({ ...labels, request: requestId }, "call");
  reply.header("cache-control", "max-age=60");
  return item;
});

app.get<{ Params: { id: string } }>("/bare/:id", async ({ params }) => ({ ...itemOf(params.id), ownerId: null }));

console.log(new URL(await app.listen({ host: "127.0.0.1", port: 0 })).port);
process.once("SIGTERM", () => process.exit());
