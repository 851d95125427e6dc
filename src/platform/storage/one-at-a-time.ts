/** Lets one after another have what cannot be shared, in the order in which they asked. */
export class OneAtATime {
  readonly #waiting: (() => void)[] = [];
  #taken = false;

  /** Resolves when it is the caller's turn, which lasts until it calls {@link pass}. */
  take(): Promise<void> {
    if (!this.#taken) {
      this.#taken = true;
      return Promise.resolve();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Ends the turn. */
  pass(): void {
    const next = this.#waiting.shift();
    if (next === undefined) {
      this.#taken = false;
    } else {
      next();
    }
  }
}
