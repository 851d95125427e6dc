import type { IncomingHttpHeaders } from "node:http";
import type { ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import type { Registry } from "@bufbuild/protobuf";
import { ConnectError, createContextValues, type Interceptor } from "@connectrpc/connect";
import type { UniversalHandlerOptions } from "@connectrpc/connect/protocol";
import { compressionGzip } from "@connectrpc/connect-node";
import fastify, { type FastifyReply, type FastifyRequest } from "fastify";
import { Health } from "../../../gen/grpc/health/v1/health_pb.ts";
import { deliveryOf } from "../listener/delivery.ts";
import { createListener, peerOf, type Request } from "../listener/listener.ts";
import type { KeyPair } from "../listener/tls-door.ts";
import { mountRest } from "../rest/mount-rest.ts";
import type { ApiDescription } from "../rest/openapi/openapi.ts";
import { kDelivery, kPeer, kRequestId } from "../rpc/call-context.ts";
import { mountConnect } from "../rpc/connect-routes.ts";
import { type Gate, guard } from "../rpc/gate.ts";
import { createHealthState, type HealthState, serveHealth } from "../rpc/health.ts";
import { deadline } from "../rpc/interceptors/deadline.ts";
import { observe } from "../rpc/interceptors/observe.ts";
import { serveReflection } from "../rpc/reflection.ts";
import type { ServedService } from "../rpc/served-service.ts";
import { createShortPath } from "../rpc/short/short-path.ts";
import { createShutdown } from "../rpc/shutdown.ts";
import type { Logger } from "../telemetry/log.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { mountCors } from "./cors.ts";
import { mountOperations } from "./operations.ts";
import { createRequestIds } from "./request-ids.ts";
import { answerRpcError, isRpc, unknownMethod } from "./unrouted.ts";

/** Options of {@link createServer}. */
export interface ServerOptions {
  /** What is served besides health and reflection. */
  services: readonly ServedService[];
  /** What `/openapi.json` says of the services beside their contract. Default: nothing. */
  describe?: () => Promise<ApiDescription>;
  /** Asked before the body of anything that is not public is read. */
  gate: Gate;
  /** An address, not a name: `0.0.0.0`, `::`, `127.0.0.1`. */
  host: string;
  /** 0: one that is free. */
  port: number;
  /** Without it the port speaks plain text. */
  tls?: { pair: KeyPair; clientCa?: string };
  /** Origins whose pages may call, such as `https://panel.example.org`. Default: none. */
  corsOrigins?: readonly string[];
  /** Opens `/metrics` besides the gate, as `Authorization: Bearer`. */
  metricsToken?: string;
  /** gRPC and Connect unary calls take the short path. Off: the router serves everything, more slowly. Default: on. */
  shortPath?: boolean;
  /** The largest message, in bytes. Default: 64 MiB. */
  maxMessageBytes?: number;
  /** Types of error details, for JSON. */
  registry?: Registry;
  log: Logger;
  metrics: Metrics;
}

/** A server that listens. */
export interface Server {
  /** Scheme, address and port that it listens on: `https://127.0.0.1:62050`. */
  readonly url: string;
  readonly health: HealthState;
  /** New connections are served with this certificate from now on. */
  replaceCertificate(pair: KeyPair): void;
  /** Ends streams, lets unary calls finish, and closes: after 10 s at the latest. */
  close(): Promise<void>;
}

const maxMessageBytesByDefault = 64 * 1024 * 1024;
// Below it a reply costs more to compress than to send.
const compressMinBytes = 16 * 1024;
const maxParamLength = 8192;
const shutdownMs = 10_000;
// Between the abort of unary calls and the end of the server: their answers still have to leave.
const shutdownAnswerMs = 1_000;

/** Serves services over gRPC, gRPC-Web, Connect and REST on one port, with all that every service of Garrison has. */
export async function createServer(options: ServerOptions): Promise<Server> {
  const { log, metrics, tls } = options;
  const health = createHealthState();
  const described = options.services.map(({ desc }) => desc);
  const services = [...options.services, serveHealth(health, described), ...serveReflection([...described, Health])];
  const gate = guard(options.gate, services);
  const shutdown = createShutdown();
  const requestIds = createRequestIds();
  const router: Partial<UniversalHandlerOptions> = {
    readMaxBytes: options.maxMessageBytes ?? maxMessageBytesByDefault,
    acceptCompression: [compressionGzip], // brotli at its default quality takes seconds for a megabyte
    compressMinBytes,
    ...(options.registry && { jsonOptions: { registry: options.registry } }),
  };
  const contextValues = (call: Request | ServerHttp2Stream, headers: IncomingHttpHeaders) =>
    createContextValues()
      .set(kPeer, peerOf(call))
      .set(kRequestId, requestIds(headers["x-request-id"]))
      .set(kDelivery, deliveryOf(call));
  const interceptors = await createInterceptors(options);

  const early =
    options.shortPath !== false &&
    createShortPath({ services, gate, interceptors, contextValues, router, shutdown, log });
  const listener = createListener({
    ...(tls && { tls }),
    ...(early && { early }),
    onRefused(peer, reason) {
      metrics.connectionClosed(reason);
      log.debug({ peer, reason }, "connection closed");
    },
  });
  const app = fastify({
    serverFactory: (handler) => listener.serve(handler as Parameters<typeof listener.serve>[0]),
    logger: false,
    routerOptions: { maxParamLength }, // a longer one is answered before the gate
    rewriteUrl: ({ url = "/" }) => (isDecodable(url) ? url : "/"),
  });
  await mountCors(app, options.corsOrigins ?? []);
  const rest = mountRest(app, {
    services: options.services,
    gate,
    interceptors,
    contextValues: ({ raw }) => contextValues(raw, raw.headers),
    shutdown,
    log,
  });
  const fail = (request: FastifyRequest, reply: FastifyReply, cause: unknown): FastifyReply => {
    const id = requestIds(request.headers["x-request-id"]);
    if (!(cause instanceof ConnectError)) log.error({ err: cause, request: id }, "request failed");
    reply.header("x-request-id", id);
    return isRpc(request) ? answerRpcError(request, reply, cause) : rest.answer(request, reply, cause, id);
  };
  mountConnect(app, {
    services,
    gate,
    interceptors,
    contextValues: ({ raw }) => contextValues(raw, raw.headers),
    router,
    refuse: fail,
    shutdown,
    log,
  });
  mountOperations(app, {
    health,
    metrics,
    metricsToken: options.metricsToken,
    openapi: async () => {
      const { createOpenApi } = await import("../rest/openapi/openapi.ts"); // seldom asked for
      return createOpenApi({ services: options.services, ...(await (options.describe ?? nothing)()) });
    },
    admit: ({ raw, url, headers }) =>
      gate({ header: headersOf(headers), values: contextValues(raw, headers), path: url.replace(/\?.*/s, "") }),
    missing: (request) => (isRpc(request) ? unknownMethod() : rest.errorOf(request)),
    fail,
  });

  await app.listen({ host: options.host, port: options.port });
  const { address, family, port } = app.server.address() as AddressInfo;
  const host = family === "IPv6" ? `[${address}]` : address;
  return {
    url: `${tls ? "https" : "http"}://${host}:${port}`,
    health,
    replaceCertificate: (pair) => listener.replaceCertificate(pair),
    async close() {
      health.set(false);
      shutdown.begin(shutdownMs - shutdownAnswerMs);
      const cut = setTimeout(() => app.server.closeAllConnections(), shutdownMs);
      await app.close();
      clearTimeout(cut);
      shutdown.over();
    },
  };
}

async function nothing(): Promise<ApiDescription> {
  return { title: "Garrison", version: "", comments: {}, securitySchemes: {} };
}

async function createInterceptors({ services, log, metrics }: ServerOptions) {
  // The rules are compiled only where a contract has some: that takes memory and start time.
  const rules = services.some(({ validated }) => validated)
    ? (await import("../rpc/interceptors/validation.ts")).validation()
    : [];
  const watched = observe(log, metrics.calls);
  return (service: ServedService): Interceptor[] => [
    watched,
    deadline,
    ...(service.validated ? [rules].flat() : []),
    ...service.interceptors,
  ];
}

// Fastify answers an undecodable path before any hook: as a path that nobody serves it meets the gate like all others.
function isDecodable(url: string): boolean {
  if (!url.includes("%")) return true;
  try {
    decodeURI(url.replace(/[?#].*/s, "")); // the query is read more leniently
    return true;
  } catch {
    return false;
  }
}

function headersOf(fields: IncomingHttpHeaders): Headers {
  const header = new Headers();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined && !name.startsWith(":")) header.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  return header;
}
