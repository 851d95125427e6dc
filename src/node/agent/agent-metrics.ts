import { Counter, Gauge, type Registry } from "prom-client";
import { shareRuns } from "../runtime/share-runs.ts";
import type { ContactState } from "./contact/contact.ts";
import type { SpoolState } from "./spool/spool.ts";

/** What an operator's monitoring sees of an agent. Read whenever it asks. */
export interface AgentReadings {
  readonly contact: ContactState;
  /** Milliseconds since 1970. */
  readonly lastAnswerAt: number | undefined;
  readonly revision: number | undefined;
  readonly applyState: string;
  readonly refusedSubscriptions: number;
  readonly refusedAddresses: number;
  readonly isDraining: boolean;
  readonly online: number;
  readonly spools: readonly SpoolState[];
  /** Milliseconds since 1970, by the clock of the spool. */
  readonly now: number;
}

/** Counts what an agent does. */
export interface AgentCounters {
  /** A config was applied, or was not. */
  config(outcome: "applied" | "failed"): void;
}

const contactStates: readonly ContactState[] = ["none", "reached", "away", "refused", "not core"];

/** Puts the agent's metrics into a registry. */
export function registerAgentMetrics(registry: Registry, read: () => Promise<AgentReadings>): AgentCounters {
  const registers = [registry];
  const shared = shareRuns(read);
  const gauge = <Label extends string>(
    { name, help, labelNames = [] }: { name: string; help: string; labelNames?: Label[] },
    set: (gauge: Gauge<Label>, readings: AgentReadings) => void,
  ) => {
    const made: Gauge<Label> = new Gauge({
      ...{ name, help, labelNames, registers },
      collect: async () => set(made, await shared()),
    });
  };
  gauge(
    { name: "garrison_agent_contact", help: "How things stand with Core: 1 for what holds.", labelNames: ["state"] },
    (made, { contact }) => {
      for (const state of contactStates) made.set({ state }, state === contact ? 1 : 0);
    },
  );
  gauge(
    { name: "garrison_agent_last_contact_seconds", help: "When Core has answered last, in Unix seconds; 0: never." },
    (made, { lastAnswerAt }) => made.set((lastAnswerAt ?? 0) / 1_000),
  );
  gauge(
    {
      name: "garrison_agent_apply_state",
      help: "What becomes of Core's config: 1 for what holds.",
      labelNames: ["state"],
    },
    (made, { applyState }) => {
      made.reset();
      made.set({ state: applyState }, 1);
    },
  );
  gauge({ name: "garrison_agent_revision", help: "The revision of Core's config that runs; 0: none." }, (made, each) =>
    made.set(each.revision ?? 0),
  );
  gauge(
    {
      name: "garrison_agent_refused_subscriptions",
      help: "Subscriptions that are refused, because they have ended or their lease is used up.",
    },
    (made, { refusedSubscriptions }) => made.set(refusedSubscriptions),
  );
  gauge(
    {
      name: "garrison_agent_refused_addresses",
      help: "Addresses that are refused, because their subscriptions are connected from as many as they may.",
    },
    (made, { refusedAddresses }) => made.set(refusedAddresses),
  );
  gauge(
    { name: "garrison_agent_draining", help: "1: the node is about to be taken away, and lets in no new users." },
    (made, { isDraining }) => made.set(isDraining ? 1 : 0),
  );
  gauge({ name: "garrison_agent_online_links", help: "Links over which somebody is online." }, (made, { online }) =>
    made.set(online),
  );
  gauge(
    {
      name: "garrison_agent_spool_entries",
      help: "Entries that wait to be in a batch for Core.",
      labelNames: ["kind"],
    },
    (made, { spools }) => {
      for (const { kind, waitingEntries } of spools) made.set({ kind }, waitingEntries);
    },
  );
  gauge(
    {
      name: "garrison_agent_spool_unacknowledged_seconds",
      help: "For how long Core has not acknowledged the batch that is next; 0: there is none.",
      labelNames: ["kind"],
    },
    (made, { spools, now }) => {
      for (const { kind, sealedAt = now } of spools) made.set({ kind }, Math.max(0, (now - sealedAt) / 1_000));
    },
  );
  const configs = new Counter({
    name: "garrison_agent_configs_total",
    help: "Configs of Core that were applied, or could not be.",
    labelNames: ["outcome"],
    registers,
  });
  return { config: (outcome) => configs.inc({ outcome }) };
}
