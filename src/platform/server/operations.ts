import { createHash, timingSafeEqual } from "node:crypto";
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { HealthState } from "../rpc/health.ts";
import type { PublicError } from "../rpc/public-error.ts";
import type { Metrics } from "../telemetry/metrics.ts";

/** Options of {@link mountOperations}. */
export interface OperationsOptions {
  health: HealthState;
  metrics: Metrics;
  /** Opens `/metrics` besides the gate. */
  metricsToken: string | undefined;
  /** The OpenAPI document, made when it is first asked for. */
  openapi: () => Promise<object>;
  /** Asks the gate about a path that is no RPC; throws when it refuses. */
  admit: (request: FastifyRequest) => void | Promise<void>;
  /** What is wrong with a request that no route takes. */
  missing: (request: FastifyRequest) => PublicError;
  /** Answers an error in the form that the caller's protocol expects. */
  fail: (request: FastifyRequest, reply: FastifyReply, cause: unknown) => unknown;
}

/** What every service has for those who operate it: `/healthz`, `/metrics`, `/openapi.json`. */
export function mountOperations(app: FastifyInstance, options: OperationsOptions): void {
  const { health, metrics, metricsToken, admit, missing, fail } = options;
  const admitted = async (request: FastifyRequest, reply: FastifyReply) => {
    try {
      await admit(request);
    } catch (error) {
      return fail(request, reply, error);
    }
  };
  const admittedOrToken = (request: FastifyRequest, reply: FastifyReply) =>
    metricsToken !== undefined && isBearer(request.headers.authorization, metricsToken)
      ? Promise.resolve()
      : admitted(request, reply);

  app.get("/healthz", (_request, reply) => {
    const status = health.serving ? "SERVING" : "NOT_SERVING";
    return reply.code(health.serving ? 200 : 503).send({ status });
  });
  app.get("/metrics", { onRequest: admittedOrToken }, async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
  let document: string | undefined;
  app.get("/openapi.json", { onRequest: admitted }, async (_request, reply) => {
    document ??= JSON.stringify(await options.openapi());
    return reply.type("application/json").send(document);
  });
  // Unknown paths are told from known ones only to callers who passed the gate, before any body is read.
  const unrouted = async (request: FastifyRequest, reply: FastifyReply) => {
    try {
      await admit(request);
    } catch (error) {
      return fail(request, reply, error);
    }
    return fail(request, reply, missing(request));
  };
  app.addHook("onRequest", async (request, reply) => (request.is404 ? unrouted(request, reply) : undefined));
  // No hook sees a verb that Fastify has never heard of, which HTTP/2 lets through: it becomes this error.
  app.setErrorHandler((error: FastifyError, request, reply) =>
    error.code === "FST_ERR_NOT_FOUND" ? unrouted(request, reply) : fail(request, reply, error),
  );
}

// Hashing first makes the lengths equal, which the comparison in constant time needs.
function isBearer(header: string | undefined, token: string): boolean {
  const given = /^Bearer +(.+)$/i.exec(header ?? "")?.[1];
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(token));
}
