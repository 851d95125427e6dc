import { Registry } from "prom-client";
import { expect, test } from "vitest";
import { registerCoreMetrics } from "./core-metrics.ts";
import { createTallies } from "./domain/tallies.ts";
import type { FleetReadings } from "./store/fleet-readings.ts";

test("what the database tells is left out while it is away, and all else is there", async () => {
  const registry = new Registry();
  let isAway = false;
  const fleet: FleetReadings = { nodes: new Map([["online", 3]]), syncStatus: new Map(), onlineSessions: 7 };
  registerCoreMetrics({
    ...{ registry, tallies: { ...createTallies(), heartbeats: 9 }, watchers: () => 2, driftingInbounds: () => 0 },
    readFleet: () => (isAway ? Promise.reject(new Error("the database is away")) : Promise.resolve(fleet)),
  });
  const shown = async () =>
    (await registry.metrics()).split("\n").filter((line) => /^garrison_core_(nodes\{|online|heart)/.test(line));
  const all = [
    'garrison_core_nodes{state="online"} 3',
    "garrison_core_online_sessions 7",
    "garrison_core_heartbeats_total 9",
  ];
  expect(await shown()).toEqual(all);
  isAway = true;
  expect(await shown()).toEqual(all.slice(2));
  isAway = false;
  expect(await shown()).toEqual(all);
});
