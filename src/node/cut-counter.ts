import { Counter, type Registry } from "prom-client";

/** Counts the connections of users that were cut. */
export function createCutCounter(registry: Registry): (connections: number) => void {
  const counter = new Counter({
    name: "garrison_user_connections_cut_total",
    help: "Live connections of users that the node cut: those who lost an inbound, and those it was asked to.",
    registers: [registry],
  });
  return (connections) => counter.inc(connections);
}
