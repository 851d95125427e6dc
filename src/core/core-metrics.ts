import { Counter, Gauge, type Registry } from "prom-client";
import type { Tallies } from "./domain/tallies.ts";
import type { FleetReadings } from "./store/fleet-readings.ts";

/** Options of {@link registerCoreMetrics}. */
export interface CoreMetricsOptions {
  readonly registry: Registry;
  /** What this process has done. */
  readonly tallies: Tallies;
  /** Streams of configs that are open in this process. */
  readonly watchers: () => number;
  /** Inbounds whose users were not counted in full yesterday. */
  readonly driftingInbounds: () => number;
  /** How the fleet does, as every replica sees it. When it rejects, the metrics of the fleet are left out. */
  readonly readFleet: () => Promise<FleetReadings>;
}

/** Puts Core's metrics into a registry. Labels are words of the contract: nothing names a node or a user. */
export function registerCoreMetrics(options: CoreMetricsOptions): void {
  const { registry, tallies, watchers, driftingInbounds } = options;
  const registers = [registry];
  const readFleet = shared(options.readFleet);
  const ofFleet = (name: string, help: string, label: string, read: (fleet: FleetReadings) => Entries) => {
    new Gauge({
      ...{ name, help, labelNames: [label], registers },
      async collect() {
        const fleet = await readFleet();
        this.reset();
        if (fleet !== undefined) for (const [word, value] of read(fleet)) this.set({ [label]: word }, value);
      },
    });
  };
  ofFleet("garrison_core_nodes", "Nodes of the fleet, by state.", "state", ({ nodes }) => nodes);
  ofFleet(
    "garrison_core_nodes_sync",
    "Nodes that have enrolled, by how they stand to their newest config.",
    "status",
    ({ syncStatus }) => syncStatus,
  );
  new Gauge({
    ...{ name: "garrison_core_online_sessions", help: "Sessions of users that have not ended.", registers },
    async collect() {
      const fleet = await readFleet();
      this.remove();
      if (fleet !== undefined) this.set(fleet.onlineSessions);
    },
  });
  new Gauge({
    name: "garrison_core_drifting_inbounds",
    help: "Inbounds that carried more, or less, yesterday than was booked of their users.",
    registers,
    collect() {
      this.set(driftingInbounds());
    },
  });
  new Gauge({
    name: "garrison_core_watchers",
    help: "Nodes that wait for configs on a stream of this process.",
    registers,
    collect() {
      this.set(watchers());
    },
  });
  const counter = (name: string, help: string, labelNames: string[], read: () => [Labels, number][]) => {
    new Counter({
      ...{ name, help, labelNames, registers },
      collect() {
        this.reset();
        for (const [labels, value] of read()) this.inc(labels, value);
      },
    });
  };
  counter("garrison_core_heartbeats_total", "Heartbeats of nodes.", [], () => [[{}, tallies.heartbeats]]);
  counter("garrison_core_revisions_published_total", "Configs that were published because of changes.", [], () => [
    [{}, tallies.revisions],
  ]);
  const reports = Object.entries(tallies.reports);
  counter("garrison_core_reports_total", "Reports of nodes that were taken.", ["kind", "outcome"], () =>
    reports.flatMap(([kind, { booked, duplicate }]): [Labels, number][] => [
      [{ kind, outcome: "booked" }, booked],
      [{ kind, outcome: "duplicate" }, duplicate],
    ]),
  );
  counter("garrison_core_report_entries_total", "Entries of reports.", ["kind", "outcome"], () =>
    reports.flatMap(([kind, { entries, quarantined }]): [Labels, number][] => [
      [{ kind, outcome: "booked" }, entries - quarantined],
      [{ kind, outcome: "quarantined" }, quarantined],
    ]),
  );
}

type Entries = Iterable<readonly [string, number]>;
type Labels = Record<string, string>;

/**
 * All metrics are asked at a time: one reading is good for those that need it. While the database is away, the others tell
 * what is the matter.
 */
function shared<T>(read: () => Promise<T>): () => Promise<T | undefined> {
  let reading: Promise<T | undefined> | undefined;
  return () => {
    reading ??= read()
      .catch(() => undefined)
      .finally(() => {
        reading = undefined;
      });
    return reading;
  };
}
