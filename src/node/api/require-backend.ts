import type { Interceptor } from "@connectrpc/connect";
import type { Runtime } from "../runtime/runtime.ts";

/** Methods that answer without a running backend. Stop decides for itself: it also ends a start that is under way. */
const open: ReadonlySet<string> = new Set(["Start", "Stop", "GetBaseInfo"]);

/** Refuses the others while no backend runs, before the messages of a stream are read. */
export function requireBackend(runtime: Pick<Runtime, "requireRunning">): Interceptor {
  return (next) => (request) => {
    if (!open.has(request.method.name)) runtime.requireRunning();
    return next(request);
  };
}
