import {
  type ContextValues,
  createConnectRouter,
  createContextKey,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import type { UniversalHandler, UniversalHandlerOptions } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Logger } from "../telemetry/log.ts";
import { kDelivery } from "./call-context.ts";
import { ConnectAnswer } from "./connect-answer.ts";
import { type Gate, passGate } from "./gate.ts";
import { watchIterable } from "./interceptors/watch-iterable.ts";
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
  /** Answers a caller whom the gate refused and who speaks none of the protocols. */
  refuse: (request: FastifyRequest, reply: FastifyReply, cause: unknown) => unknown;
  shutdown: ShutdownSignals;
  log: Logger;
}

/**
 * Mounts services as gRPC, gRPC-Web and Connect, one Fastify route per method. It stands in for the plugin of
 * `@connectrpc/connect-fastify`, which writes a stack trace to the console for every stream that a client leaves, and
 * lets clients of a quiet stream wait for their head until there is a message.
 */
export function mountConnect(app: FastifyInstance, options: ConnectOptions): void {
  const router = createConnectRouter();
  for (const service of options.services) {
    const interceptors = options.interceptors(service);
    for (const spec of service.methods) {
      router.rpc(spec.method, spec.impl, {
        ...options.router,
        interceptors: [watchAnswer, ...interceptors],
        requestGate: (context: HandlerContext) => {
          const answer = context.values.get(kAnswer);
          if (answer !== undefined) answer.asked = true;
          return passGate(options.gate, context);
        },
        shutdownSignal: spec.kind === "unary" ? options.shutdown.calls : options.shutdown.streams,
      });
    }
  }
  for (const handler of router.handlers) {
    app.all(handler.requestPath, {
      // Not the handler: before it, Fastify judges the content type, and the gate comes first. The hook never ends.
      onRequest: (request, reply, _done) => void serve(handler, request, reply, options),
      handler: neverReached,
    });
  }
}

async function serve(
  handler: UniversalHandler,
  request: FastifyRequest,
  reply: FastifyReply,
  { contextValues, gate, refuse, log }: ConnectOptions,
) {
  const answer = new ConnectAnswer(reply);
  try {
    const values = contextValues(request).set(kAnswer, answer);
    const call = universalRequestFromNodeRequest(request.raw, reply.raw, undefined, values);
    const response = await handler(call);
    // A wrong verb or content type is found before the gate is asked: it tells that there is such an RPC.
    const refused = answer.asked ? undefined : await refusal(gate, handler, call.header, values);
    if (refused !== undefined) {
      refuse(request, reply, refused.cause);
      return;
    }
    await answer.send(response, (well) => {
      // What was answered could not be written: an error has taken its place.
      if (!well) values.get(kDelivery).replaced();
    });
  } catch (error) {
    // The answer was under way: the client has left, or a header was refused. The call itself was observed.
    log.debug({ err: error, method: handler.method.name }, "answer not delivered");
    answer.giveUp();
  } finally {
    answer.close();
  }
}

const kAnswer = createContextKey<ConnectAnswer | undefined>(undefined, { description: "answer of the router" });

const watchAnswer: Interceptor = (next) => async (request) => {
  const { contextValues, signal } = request;
  const replaced = () => contextValues.get(kDelivery).replaced();
  try {
    const response = await next(request);
    if (!response.stream) return response;
    if (request.method.methodKind === "server_streaming") contextValues.get(kAnswer)?.open(response.header);
    const end = (cause: unknown) => {
      if (cause !== undefined) replaced();
      return undefined;
    };
    return { ...response, message: watchIterable(response.message, signal, end) };
  } catch (cause) {
    replaced();
    throw cause;
  }
};

async function refusal(
  gate: Gate,
  { method, requestPath: path }: UniversalHandler,
  header: Headers,
  values: ContextValues,
): Promise<{ cause: unknown } | undefined> {
  try {
    await gate({ header, values, method, path });
    return undefined;
  } catch (cause) {
    return { cause };
  }
}

function neverReached(): never {
  throw new Error("the route's hook has let a request pass");
}
