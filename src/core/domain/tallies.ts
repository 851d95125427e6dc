import type { ReportKind } from "./usage/usage-store.ts";

/** What this process has done since it started. */
export interface Tallies {
  heartbeats: number;
  /** Revisions that were published because something has changed. */
  revisions: number;
  readonly reports: Readonly<Record<ReportKind, ReportTally>>;
}

/** What became of reports of a kind. */
interface ReportTally {
  /** Reports that were booked. */
  booked: number;
  /** Reports that had been booked before. */
  duplicate: number;
  /** Entries, items or events of those that were booked. */
  entries: number;
  /** How many of them were kept aside. */
  quarantined: number;
}

/** Makes them. */
export function createTallies(): Tallies {
  const report = (): ReportTally => ({ booked: 0, duplicate: 0, entries: 0, quarantined: 0 });
  return { heartbeats: 0, revisions: 0, reports: { usage: report(), outbound_usage: report(), sessions: report() } };
}
