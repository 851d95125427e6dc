import { performance } from "node:perf_hooks";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { Logger } from "../../telemetry/log.ts";
import type { CallMetrics } from "../../telemetry/metrics.ts";
import { kPeer, kProtocol, kRequestId } from "../call-context.ts";
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
      const labels = {
        service: request.service.typeName,
        method: request.method.name,
        protocol: request.contextValues.get(kProtocol) || protocolOf(request.header),
        code: error === undefined ? "ok" : machineCodeOf(error.code).toLowerCase(),
      };
      metrics.ended(labels, seconds);
      const level = error === undefined ? "debug" : isOurs(error.code) ? "error" : "info";
      if (log.isLevelEnabled(level)) {
        const { code, ...call } = labels;
        const values = request.contextValues;
        const about = { ...call, code, ms: Math.round(seconds * 1e6) / 1e3, request: values.get(kRequestId) };
        const peer = values.get(kPeer).address;
        const isPublic = error instanceof PublicError;
        const err = level === "error" ? (error?.cause ?? (isPublic ? undefined : error)) : undefined;
        const sentence = isPublic ? error.logged : error?.rawMessage;
        log[level]({ ...about, peer, ...(error && { error: sentence }), ...(err !== undefined && { err }) }, "call");
      }
      return error;
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
