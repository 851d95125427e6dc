import type { ContextValues, Interceptor } from "@connectrpc/connect";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { createRunningCalls } from "../rpc/call/running-calls.ts";
import type { Gate } from "../rpc/gate.ts";
import { headAfterMs } from "../rpc/head-after.ts";
import type { ServedService } from "../rpc/served-service.ts";
import type { ShutdownSignals } from "../rpc/shutdown.ts";
import type { Logger } from "../telemetry/log.ts";
import { createErrorWriter } from "./error-writer.ts";
import { createReaders } from "./json/reader.ts";
import { createWriters } from "./json/writer.ts";
import { bindingsOfAll } from "./read-bindings.ts";
import { registryOf } from "./registry.ts";
import { createRoute } from "./route.ts";
import { createUnrouted, type Unrouted } from "./unrouted.ts";

/** Options of {@link mountRest}. */
export interface RestOptions {
  services: readonly ServedService[];
  /** Asked about every call before its body is read. */
  gate: Gate;
  /** Outermost first; those of a service follow. */
  interceptors: (service: ServedService) => Interceptor[];
  contextValues: (request: FastifyRequest) => ContextValues;
  shutdown: ShutdownSignals;
  log: Logger;
  /** Silence on an event stream after which a comment is sent, in milliseconds. Default: 15 s. */
  keepAliveMs?: number;
  /**
   * How long a stream's first message, or an error in its place, is waited for before the head is sent, in
   * milliseconds. Default: {@link headAfterMs}.
   */
  headAfterMs?: number;
}

/**
 * Mounts the REST routes of services as their contract has them, one Fastify route per binding. They call the same
 * implementations as the RPCs, behind the same gate and interceptors. Throws {@link BadContract} when the contract's
 * options cannot be served.
 */
export function mountRest(app: FastifyInstance, options: RestOptions): Unrouted {
  const { services, log } = options;
  const registry = registryOf(services.map(({ desc }) => desc.file));
  const readers = createReaders(registry);
  const writers = { true: createWriters(registry, true), false: createWriters(registry, false) };
  const running = {
    calls: createRunningCalls(options.shutdown.calls),
    streams: createRunningCalls(options.shutdown.streams),
  };
  const streams = { keepAliveMs: options.keepAliveMs ?? 15_000, headAfterMs: options.headAfterMs ?? headAfterMs };
  const descs = services.map(({ desc }) => desc);
  const bindings = bindingsOfAll(descs);
  for (const service of services) {
    const interceptors = options.interceptors(service);
    for (const spec of service.methods) {
      for (const binding of bindings.filter(({ method }) => method === spec.method)) {
        const answer = createRoute({
          binding,
          spec,
          gate: options.gate,
          interceptors,
          contextValues: options.contextValues,
          running: spec.kind === "unary" ? running.calls : running.streams,
          readers,
          writers: writers[`${binding.emitDefaults}`],
          writeError: createErrorWriter(binding.errors, writers.false),
          accepted: service.accepted,
          onDefect: (cause) => log.error({ err: cause, method: binding.method.name }, "REST answer failed"),
          streams,
        });
        app.route({
          method: binding.verb,
          url: binding.path.pattern,
          exposeHeadRoute: binding.responseFraming === undefined,
          // Not the handler: before it, Fastify judges the content type, and the gate comes first. The hook never ends.
          onRequest: (request, reply, _done) => void answer(request, reply),
          handler: neverReached,
        });
      }
    }
  }
  return createUnrouted(descs, bindings, writers.false);
}

function neverReached(): never {
  throw new Error("the route's hook has let a request pass");
}
