import { remainingMs } from "../../platform/remaining.ts";
import { Recurring } from "./recurring.ts";
import { changeByTime, type TimedChange, type TimedSubscription } from "./refusals.ts";

/** What the sweeper asks of a store. Times are in milliseconds since 1970. */
export interface SweepStore {
  /** Some of the subscriptions that have expired, or whose period is over, and do not say so: at most `most`. */
  due(now: number, most: number): Promise<number[]>;
  /** Some of those with ids above `after` that are refused and should not be, or the other way round, or end too late. */
  wrong(now: number, after: number): Promise<{ readonly ids: number[]; readonly upTo: number | undefined }>;
  /**
   * Changes these subscriptions as `change` says of each, and notes that the configs of nodes have changed where that is
   * news, all in one transaction. Returns how many are news.
   */
  settle(
    ids: readonly number[],
    now: number,
    change: (subscription: TimedSubscription) => TimedChange | undefined,
  ): Promise<number>;
}

/** Options of {@link Sweeping}. */
export interface SweepingOptions {
  store: SweepStore;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Configs have changed, and the store knows it. */
  onNews: () => void;
  log: { warn(details: object, message: string): void };
}

/**
 * Has expiry, quotas and the end of their periods take effect by themselves: within a half second of the time, whoever of
 * the replicas comes first. What was missed while none ran is made good at the start. That what is booked reaches a quota
 * is noticed where it is booked; here only what was changed behind our back, or by a clock that was wrong, within a half
 * minute.
 */
export class Sweeping {
  readonly #options: SweepingOptions;
  readonly #sweeps: Recurring;
  #checkAt: number;

  constructor(options: SweepingOptions) {
    this.#options = options;
    this.#checkAt = options.now();
    this.#sweeps = new Recurring({
      everyMs: sweepEveryMs,
      work: () => this.#sweep(),
      failed: (err) => options.log.warn({ err }, "subscriptions could not be swept"),
    });
  }

  close(): Promise<void> {
    return this.#sweeps.close();
  }

  async #sweep(): Promise<void> {
    const { store, now } = this.#options;
    for (;;) {
      const ids = await store.due(now(), settledAtOnce);
      await this.#settle(ids);
      if (ids.length < settledAtOnce) break;
    }
    if (remainingMs(this.#checkAt, now(), checkEveryMs) > 0) return;
    this.#checkAt = now() + checkEveryMs;
    let after: number | undefined = 0;
    while (after !== undefined) {
      const { ids, upTo }: Awaited<ReturnType<SweepStore["wrong"]>> = await store.wrong(now(), after);
      await this.#settle(ids);
      after = upTo;
    }
  }

  async #settle(ids: readonly number[]): Promise<void> {
    if (ids.length === 0) return;
    const { store, now, onNews } = this.#options;
    const news = await store.settle(ids, now(), (subscription) => changeByTime(subscription, now()));
    if (news > 0) onNews();
  }
}

const sweepEveryMs = 500;
const checkEveryMs = 30_000;
/** So many that changing them keeps nobody waiting. */
const settledAtOnce = 200;
