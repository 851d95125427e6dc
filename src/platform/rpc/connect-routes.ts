import { constants } from "node:http2";
import { type ContextValues, createConnectRouter, type HandlerContext, type Interceptor } from "@connectrpc/connect";
import type { UniversalHandler, UniversalHandlerOptions } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Response } from "../listener/listener.ts";
import type { Logger } from "../telemetry/log.ts";
import { type Gate, passGate } from "./gate.ts";
import type { ServedService } from "./served-service.ts";
import type { ShutdownSignals } from "./shutdown.ts";

/** Options of {@link mountConnect}. */
export interface ConnectOptions {
  services: readonly ServedService[];
  gate: Gate;
  /** Outermost first; those of a service follow. */
  interceptors: (service: ServedService) => Interceptor[];
  contextValues: (request: FastifyRequest) => ContextValues;
  /** Limits, compression and JSON options of the router. */
  router: Partial<UniversalHandlerOptions>;
  shutdown: ShutdownSignals;
  log: Logger;
}

/**
 * Mounts services as gRPC, gRPC-Web and Connect, one Fastify route per method. It stands in for the plugin of
 * `@connectrpc/connect-fastify`, which writes a stack trace to the console for every stream that a client leaves.
 */
export function mountConnect(app: FastifyInstance, options: ConnectOptions): void {
  const router = createConnectRouter();
  for (const service of options.services) {
    const interceptors = options.interceptors(service);
    for (const spec of service.methods) {
      router.rpc(spec.method, spec.impl, {
        ...options.router,
        interceptors,
        requestGate: (context: HandlerContext) => passGate(options.gate, context),
        shutdownSignal: spec.kind === "unary" ? options.shutdown.calls : options.shutdown.streams,
      });
    }
  }
  app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser("*", (_request, _payload, done) => done(null));
    for (const handler of router.handlers) {
      scope.all(handler.requestPath, { config: { rpc: true } }, (request, reply) => {
        reply.hijack();
        return answer(handler, request, reply, options);
      });
    }
  });
}

async function answer(
  handler: UniversalHandler,
  request: FastifyRequest,
  reply: FastifyReply,
  options: ConnectOptions,
) {
  try {
    const call = universalRequestFromNodeRequest(request.raw, reply.raw, undefined, options.contextValues(request));
    const response = await handler(call);
    for (const [name, value] of Object.entries(reply.getHeaders())) {
      if (value !== undefined) reply.raw.setHeader(name, value);
    }
    await universalResponseToNodeResponse(response, reply.raw);
  } catch (error) {
    // The answer was under way: the client has left, or a header was refused. The call itself was observed.
    options.log.debug({ err: error, method: handler.method.name }, "answer not delivered");
    giveUp(reply.raw);
  }
}

function giveUp(response: Response): void {
  if ("stream" in response) response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else response.destroy();
}
