import { performance } from "node:perf_hooks";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { Logger } from "../../telemetry/log.ts";
import type { CallMetrics } from "../../telemetry/metrics.ts";
import { kPeer, kProtocol, kRequestId } from "../call-context.ts";
import { fittingError } from "../fitting-error.ts";
import { machineCodeOf, PublicError } from "../public-error.ts";
import { watchIterable } from "./watch-iterable.ts";

/**
 * The outermost interceptor: sees every call end exactly once, counts it, logs it, and lets nothing but errors for the
 * caller's eyes out. Errors that were not meant for the caller are logged with their cause and answered as internal.
 * Successes are logged at debug, the caller's errors at info, ours at error.
 */
export function observe(log: Logger, metrics: CallMetrics): Interceptor {
  return (next) => async (request) => {
    const startedAt = performance.now();
    metrics.started();
    const end = (cause?: unknown): ConnectError | undefined => {
      const seconds = (performance.now() - startedAt) / 1000;
      const error = cause === undefined ? undefined : publicErrorOf(cause);
      const { typeName: service } = request.service;
      const { name: method } = request.method;
      const protocol = request.contextValues.get(kProtocol) || protocolOf(request.header);
      const code = error === undefined ? "ok" : machineCodeOf(error.code).toLowerCase();
      metrics.ended({ service, method, protocol, code }, seconds);
      const level = error === undefined ? "debug" : isOurs(error.code) ? "error" : "info";
      if (log.isLevelEnabled(level)) {
        const ms = Math.round(seconds * 1e6) / 1e3;
        const from = { peer: request.contextValues.get(kPeer).address, request: request.contextValues.get(kRequestId) };
        log[level]({ rpc: `${service}/${method}`, protocol, code, ms, ...from, ...told(error) }, "call");
      }
      return error !== undefined && protocol === "grpc" ? fittingError(error) : error;
    };
    try {
      const response = await next(request);
      if (!response.stream) {
        end();
        return response;
      }
      return { ...response, message: watchIterable(response.message, request.signal, end) };
    } catch (cause) {
      throw end(cause);
    }
  };
}

/** What the log says of an error: its sentence, or what may stand for it there, and of our own faults what lies beneath. */
function told(error: ConnectError | undefined): { error?: string; err?: unknown } {
  if (error === undefined) return {};
  const isPublic = error instanceof PublicError;
  const sentence = isPublic ? error.logged : error.rawMessage;
  if (!isOurs(error.code)) return { error: sentence };
  const beneath = error.cause ?? (isPublic ? undefined : error);
  return { error: sentence, ...(beneath !== undefined && { err: beneath }) };
}

function publicErrorOf(cause: unknown): ConnectError {
  return cause instanceof ConnectError
    ? cause
    : new ConnectError("internal error", Code.Internal, undefined, undefined, cause);
}

function isOurs(code: Code): boolean {
  return code === Code.Internal || code === Code.Unknown || code === Code.DataLoss;
}

function protocolOf(header: Headers): string {
  const type = header.get("content-type") ?? "";
  if (type.startsWith("application/grpc-web")) return "grpc-web";
  return type.startsWith("application/grpc") ? "grpc" : "connect";
}
