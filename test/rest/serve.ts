import type { AddressInfo } from "node:net";
import { Code, createContextValues, type Interceptor } from "@connectrpc/connect";
import fastify, { type FastifyInstance } from "fastify";
import { pino } from "pino";
import { createListener, peerOf } from "../../src/platform/listener/listener.ts";
import { mountRest, type RestOptions } from "../../src/platform/rest/mount-rest.ts";
import { kPeer, kRequestId } from "../../src/platform/rpc/call-context.ts";
import { type Gate, guard } from "../../src/platform/rpc/gate.ts";
import { PublicError } from "../../src/platform/rpc/public-error.ts";
import type { ServedService } from "../../src/platform/rpc/served-service.ts";
import { createShutdown, type Shutdown } from "../../src/platform/rpc/shutdown.ts";

/** The key that the gate of the tests wants. */
export const key = "sesame";

/** Lets callers with the key pass; the key `limited` has asked too often. */
const keyGate: Gate = ({ header }) => {
  const given = header.get("x-api-key");
  if (given === "limited") {
    throw new PublicError("slow down", Code.ResourceExhausted, { retryAfterSeconds: 1.2, machineCode: "RATE_LIMITED" });
  }
  if (given !== key) throw new PublicError("missing x-api-key header", Code.Unauthenticated);
};

/** A server of the tests, on a free port of 127.0.0.1. */
export interface Served {
  readonly url: string;
  readonly port: number;
  readonly app: FastifyInstance;
  readonly shutdown: Shutdown;
  /** What the adapter has logged, as JSON lines. */
  readonly logged: string[];
  /** Calls with the key; `init` as for fetch. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

/** Serves REST alone, on the platform's listener. */
export async function serveRest(
  services: readonly ServedService[],
  options: Partial<RestOptions> & { interceptor?: Interceptor } = {},
): Promise<Served> {
  const listener = createListener({});
  const app = fastify({
    serverFactory: (handler) => listener.serve(handler as Parameters<typeof listener.serve>[0]),
    routerOptions: { maxParamLength: 5000 },
  });
  const shutdown = createShutdown();
  const logged: string[] = [];
  const gate = guard(options.gate ?? keyGate, services);
  let count = 0;
  const rest = mountRest(app, {
    services,
    interceptors: ({ interceptors }) => [...(options.interceptor ? [options.interceptor] : []), ...interceptors],
    contextValues: ({ raw }) => {
      count += 1;
      return createContextValues().set(kPeer, peerOf(raw)).set(kRequestId, `request-${count}`);
    },
    shutdown,
    log: pino({}, { write: (line: string) => logged.push(line) }),
    ...options,
    gate,
  });
  app.setNotFoundHandler(async (request, reply) => {
    try {
      const header = new Headers({ "x-api-key": String(request.headers["x-api-key"] ?? "") });
      await gate({ header, values: createContextValues(), path: request.url });
    } catch (cause) {
      return rest.answer(request, reply, cause);
    }
    return rest.answer(request, reply, rest.errorOf(request), "request-unrouted");
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    port,
    app,
    shutdown,
    logged,
    fetch: (path, init = {}) => fetch(url + path, { ...init, headers: { "x-api-key": key, ...init.headers } }),
    async close() {
      shutdown.begin(0);
      await app.close();
      shutdown.over();
    },
  };
}
