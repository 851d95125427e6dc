import type { EngineRouting } from "../engines/routing.ts";
import type { Runtime } from "./runtime.ts";
import { DrivenByCore } from "./situations.ts";

/**
 * The same runtime for callers who may look, but not change what the engine runs, because Core says what that is. Cutting
 * connections and resetting counters, which are the callers' own, change nothing of it.
 */
export function drivenByCore(runtime: Runtime): Runtime {
  const refuse = () => Promise.reject(new DrivenByCore());
  return {
    ...runtime,
    get info() {
      return runtime.info;
    },
    start: refuse,
    stop: refuse,
    updateUsers: refuse,
    replaceUsers: refuse,
    routing: (use) => runtime.routing((routing) => use(lookOnly(routing))),
  };
}

function lookOnly(routing: EngineRouting): EngineRouting {
  const refuse = () => Promise.reject(new DrivenByCore());
  return {
    rules: () => routing.rules(),
    balancer: (tag) => routing.balancer(tag),
    route: (connection) => routing.route(connection),
    addRule: refuse,
    removeRule: refuse,
    overrideBalancer: refuse,
  };
}
