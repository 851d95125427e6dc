import { Counter, type Registry } from "prom-client";

/** Counts the users that could not be used on an inbound, by why. */
export function createSkipCounter(registry: Registry): (reason: string, users: number) => void {
  const counter = new Counter({
    name: "garrison_users_skipped_total",
    help: "Users that were left out of an inbound because they cannot be used there, by why, each time they came.",
    labelNames: ["reason"],
    registers: [registry],
  });
  return (reason, users) => counter.inc({ reason }, users);
}
