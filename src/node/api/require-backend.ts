import type { Interceptor } from "@connectrpc/connect";
import type { Runtime } from "../runtime/runtime.ts";

/**
 * Methods that answer without a running backend, or decide for themselves: Stop also ends a start that is under way,
 * and GetOutboundsLatency has an answer for gRPC.
 */
const open: ReadonlySet<string> = new Set(["Start", "Stop", "GetBaseInfo", "GetOutboundsLatency"]);

/** Refuses the others while no backend runs, before the messages of a stream are read. */
export function requireBackend(runtime: Pick<Runtime, "requireRunning">): Interceptor {
  return (next) => (request) => {
    if (!open.has(request.method.name)) runtime.requireRunning();
    return next(request);
  };
}
