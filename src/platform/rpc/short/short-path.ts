import type { IncomingHttpHeaders } from "node:http";
import type { Interceptor } from "@connectrpc/connect";
import { type UniversalHandlerOptions, validateUniversalHandlerOptions } from "@connectrpc/connect/protocol";
import type { EarlyHandlers } from "../../listener/listener.ts";
import type { ServedService } from "../served-service.ts";
import type { ShutdownSignals } from "../shutdown.ts";
import { serveConnectHttp1 } from "./connect-http1.ts";
import { serveConnectHttp2 } from "./connect-http2.ts";
import { serveGrpc } from "./grpc.ts";
import { compileMethods } from "./methods.ts";
import { createOrigins } from "./origins.ts";
import type { Serving } from "./serving.ts";

/** Options of {@link createShortPath}: what the router is mounted with. */
export interface ShortPathOptions extends Pick<Serving, "gate" | "contextValues" | "log"> {
  services: readonly ServedService[];
  /** Outermost first; those of a service follow. */
  interceptors: (service: ServedService) => Interceptor[];
  /** Limits, compression and formats of the router. */
  router: Partial<UniversalHandlerOptions>;
  shutdown: ShutdownSignals;
}

/**
 * Serves gRPC calls and unary Connect calls straight from the HTTP stream, onto the same gate, interceptors and
 * implementations as the router, several times as fast. What it does not know it leaves to the router: other methods
 * than POST, other content types than the plain ones, unknown paths and encodings, malformed timeouts, calls from web
 * pages (which need CORS), everything once the server goes down.
 */
export function createShortPath(options: ShortPathOptions): EarlyHandlers {
  const { gate, contextValues, log, shutdown } = options;
  const limits = validateUniversalHandlerOptions(options.router);
  const serving: Serving = { gate, contextValues, log, limits };
  const methods = compileMethods({ ...options, limits });
  const origins = createOrigins();
  const fromStream: NonNullable<EarlyHandlers["stream"]> = (stream, headers) => {
    const method = methods.get(String(headers[":path"]));
    if (method === undefined || headers[":method"] !== "POST" || !isPlain(headers)) return false;
    const origin = origins(headers[":scheme"], headers[":authority"]);
    if (origin === undefined || shutdown.streams.aborted) return false;
    switch (headers["content-type"]) {
      case "application/grpc":
      case "application/grpc+proto":
        return serveGrpc(serving, method, stream, headers, origin);
      case "application/proto":
      case "application/json":
        return serveConnectHttp2(serving, method, stream, headers, origin);
      default:
        return false;
    }
  };
  const fromRequest: NonNullable<EarlyHandlers["request"]> = (request, response) => {
    const { headers, method: verb, url = "" } = request;
    const method = methods.get(url);
    if (method === undefined || verb !== "POST" || !isPlain(headers)) return false;
    const type = headers["content-type"];
    if (type !== "application/proto" && type !== "application/json") return false;
    const origin = origins("encrypted" in request.socket ? "https" : "http", headers.host);
    if (origin === undefined || shutdown.streams.aborted) return false;
    return serveConnectHttp1(serving, method, request, response, origin);
  };
  return { stream: fromStream, request: fromRequest };
}

function isPlain(headers: IncomingHttpHeaders): boolean {
  return headers.origin === undefined && headers.expect === undefined;
}
