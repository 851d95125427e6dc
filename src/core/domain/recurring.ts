/** Options of {@link Recurring}. */
export interface RecurringOptions {
  everyMs: number;
  /** What is done. The signal aborts when it is to end as soon as it can. */
  work: (closing: AbortSignal) => Promise<void>;
  /** A run that nobody has asked for has failed. */
  failed: (error: unknown) => void;
}

/** Something that is done again and again, one run at a time. */
export class Recurring {
  readonly #work: RecurringOptions["work"];
  readonly #timer: NodeJS.Timeout;
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;

  constructor({ everyMs, work, failed }: RecurringOptions) {
    this.#work = work;
    this.#timer = setInterval(() => {
      if (this.#running === undefined) this.run().catch(failed);
    }, everyMs);
  }

  /** Does it now, or waits for the run that is under way. Throws what that throws. */
  run(): Promise<void> {
    this.#running ??= this.#work(this.#closing.signal).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Begins no more runs, and waits until the one that is under way has ended. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#timer);
    await this.#running?.catch(() => undefined);
  }
}
