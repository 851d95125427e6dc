import { Counter, type Registry } from "prom-client";

/** Counts the calls of an engine's API by their method. */
export function createEngineCallCounter(registry: Registry): (method: string) => void {
  const counter = new Counter({
    name: "garrison_engine_calls_total",
    help: "Calls of the engine's API, by method: changes of users, reads of counters, looks at its health.",
    labelNames: ["method"],
    registers: [registry],
  });
  // prom-client hashes the labels at every call; a child per method is looked up once.
  const children = new Map<string, Counter.Internal>();
  return (method) => {
    const child = children.get(method) ?? counter.labels({ method });
    children.set(method, child);
    child.inc();
  };
}
