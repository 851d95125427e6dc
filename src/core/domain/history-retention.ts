import { Recurring } from "./recurring.ts";
import { epochMemoryMs } from "./usage/batch-order.ts";

/** What grows with time, one row after another, and is forgotten when it is old. */
export type History = "sessions" | "quarantine" | "gaps" | "audit";

/** What forgetting asks of a store. Times are in milliseconds since 1970. */
export interface HistoryStore {
  /** Forgets some rows from before a time, the oldest first. True: there may be more. */
  forget(history: History, before: number): Promise<boolean>;
  /** Forgets the totals of inbounds of days before a time. */
  forgetInbounds(before: number): Promise<void>;
  /** Forgets that there were protocols that were deleted before a time: what is told of them is not booked any more. */
  forgetProtocols(before: number): Promise<void>;
  /** Forgets sessions that nobody has ended since before a time. */
  forgetOnline(before: number): Promise<void>;
  /** Nodes with more than so many revisions. */
  nodesWithMany(revisions: number): Promise<number[]>;
  /**
   * Forgets revisions of a node from before a time, but for its newest `kept`, the one that it shall run, the one that it
   * runs and the last one that was applied; and configs that no revision has any more.
   */
  forgetRevisions(nodeId: number, kept: number, before: number): Promise<void>;
}

/** Options of {@link HistoryRetention}. */
export interface HistoryRetentionOptions {
  store: HistoryStore;
  /** Milliseconds since 1970. */
  now: () => number;
  log: { warn(details: object, message: string): void };
  /** How long users' coming and going is kept. Default: 90 days. */
  sessionsForMs?: number;
  /** How long entries are kept that were not booked, because they cannot be right. Default: 30 days. */
  quarantineForMs?: number;
  /** How long it is kept that batches are lost. Default: 365 days. */
  gapsForMs?: number;
  /** How long it is kept who changed what. Default: 365 days. */
  auditForMs?: number;
  /** How long totals of inbounds are kept. Default: 92 days. */
  inboundsForMs?: number;
  /** How long revisions are kept. Default: 30 days. */
  revisionsForMs?: number;
  /** How many revisions of each node are kept in any case. Default: 50. */
  revisionsKept?: number;
}

/** Forgets what is old. Works in small steps, every hour, whichever of the replicas comes first. */
export class HistoryRetention {
  readonly #options: HistoryRetentionOptions;
  readonly #sweeps: Recurring;

  constructor(options: HistoryRetentionOptions) {
    this.#options = options;
    this.#sweeps = new Recurring({
      everyMs,
      work: (closing) => this.#sweep(closing),
      failed: (err) => options.log.warn({ err }, "what is old could not be forgotten, and is tried again"),
    });
  }

  /** Forgets all that is old enough. */
  sweep(): Promise<void> {
    return this.#sweeps.run();
  }

  /** Finishes the step that it is at. */
  close(): Promise<void> {
    return this.#sweeps.close();
  }

  async #sweep(closing: AbortSignal): Promise<void> {
    const { store, now, revisionsForMs = 30 * dayMs, revisionsKept = 50, inboundsForMs = 92 * dayMs } = this.#options;
    const { sessionsForMs = 90 * dayMs, quarantineForMs = 30 * dayMs } = this.#options;
    const { gapsForMs = 365 * dayMs, auditForMs = 365 * dayMs } = this.#options;
    const ages = { sessions: sessionsForMs, quarantine: quarantineForMs, gaps: gapsForMs, audit: auditForMs };
    for (const history of ["sessions", "quarantine", "gaps", "audit"] as const)
      while (!closing.aborted && (await store.forget(history, now() - ages[history])));
    await store.forgetInbounds(now() - inboundsForMs);
    // As long as the batches of a node that does not call are remembered.
    await store.forgetProtocols(now() - epochMemoryMs);
    await store.forgetOnline(now() - sessionsForMs);
    for (const nodeId of await store.nodesWithMany(revisionsKept)) {
      if (closing.aborted) return;
      await store.forgetRevisions(nodeId, revisionsKept, now() - revisionsForMs);
    }
  }
}

const dayMs = 24 * 60 * 60 * 1000;
const everyMs = 60 * 60 * 1000;
