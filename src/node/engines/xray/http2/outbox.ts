import type { Writable } from "node:stream";

/** What leaves in one turn of the event loop leaves in one write. */
export class Outbox {
  readonly #to: Writable;
  #waiting: Buffer[] = [];

  constructor(to: Writable) {
    this.#to = to;
  }

  add(bytes: Buffer): void {
    this.#waiting.push(bytes);
    // Once everything has been added that was about to be: what an answer leads to is asked for in microtasks.
    if (this.#waiting.length === 1) process.nextTick(() => this.#flush());
  }

  #flush(): void {
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    if (!this.#to.destroyed) this.#to.write(bytes);
  }
}
