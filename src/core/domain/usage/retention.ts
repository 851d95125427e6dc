import { Recurring } from "../recurring.ts";
import { epochMemoryMs } from "./batch-order.ts";

/** How finely usage is kept. */
export type Resolution = "minute" | "hour";

/** What retention asks of a store. Times are in milliseconds since 1970. */
export interface RetentionStore {
  /** The nodes that have usage, those that are gone included. */
  nodes(): Promise<number[]>;
  /** The time of the oldest rows of a resolution at a node, from a time on and before another; undefined: none. */
  oldest(nodeId: number, resolution: Resolution, from: number, before: number): Promise<number | undefined>;
  /** Adds the rows of one time to those of the hour, or the day, that it lies in, whose place they take. */
  rollUp(nodeId: number, time: number, resolution: Resolution): Promise<void>;
  /** Forgets streams that had no batch since. */
  forgetStreams(before: number): Promise<void>;
}

/** Options of {@link UsageRetention}. */
export interface UsageRetentionOptions {
  store: RetentionStore;
  /** Milliseconds since 1970. */
  now: () => number;
  log: { warn(details: object, message: string): void };
  /** How long rows per minute are kept; later they are hours. Longer than reports may be late. Default: 8 days. */
  minutesForMs?: number;
  /** How long rows per hour are kept; later they are days. Default: 92 days. */
  hoursForMs?: number;
}

/**
 * Keeps usage small as it grows old: minutes become hours, and hours days. No byte is lost. Works in small steps, every
 * hour, whichever of the replicas comes first.
 */
export class UsageRetention {
  readonly #options: UsageRetentionOptions;
  readonly #sweeps: Recurring;
  /** Up to where there is nothing left to do, by resolution and node. */
  readonly #done = new Map<string, number>();

  constructor(options: UsageRetentionOptions) {
    this.#options = options;
    this.#sweeps = new Recurring({
      everyMs,
      work: (closing) => this.#sweep(closing),
      failed: (err) => options.log.warn({ err }, "old usage could not be rolled up, and is tried again"),
    });
  }

  /** Rolls up all that is old enough. */
  sweep(): Promise<void> {
    return this.#sweeps.run();
  }

  /** Finishes the step that it is at. */
  close(): Promise<void> {
    return this.#sweeps.close();
  }

  async #sweep(closing: AbortSignal): Promise<void> {
    const { store, now, minutesForMs = 8 * dayMs, hoursForMs = 92 * dayMs } = this.#options;
    for (const nodeId of await store.nodes()) {
      // Whole hours and days: what is rolled up once is not touched again.
      await this.#rollUp(nodeId, "minute", startOf(now() - minutesForMs, hourMs), closing);
      await this.#rollUp(nodeId, "hour", startOf(now() - hoursForMs, dayMs), closing);
    }
    await store.forgetStreams(now() - epochMemoryMs);
  }

  async #rollUp(nodeId: number, resolution: Resolution, before: number, closing: AbortSignal): Promise<void> {
    const { store } = this.#options;
    const key = `${resolution} ${nodeId}`;
    while (!closing.aborted) {
      const time = await store.oldest(nodeId, resolution, this.#done.get(key) ?? 0, before);
      if (time === undefined) {
        this.#done.set(key, before);
        return;
      }
      await store.rollUp(nodeId, time, resolution);
      this.#done.set(key, time);
    }
  }
}

function startOf(time: number, stepMs: number): number {
  return time - (time % stepMs);
}

const hourMs = 60 * 60 * 1000;
const dayMs = 24 * hourMs;
const everyMs = hourMs;
