import { DatabaseClosed } from "./errors.ts";
import { decodeEvent, type Subscriber, type Subscription } from "./event-bus.ts";

/** Where problems go that no caller waits for; a pino logger is one. */
export interface StorageLog {
  warn(details: object, message: string): void;
}

/** Who listens to what in this process. What a subscriber throws is logged and harms no other. */
export class Subscribers {
  readonly #byTopic = new Map<string, Set<Subscriber>>();
  readonly #log: StorageLog;
  #closed = false;

  constructor(log: StorageLog) {
    this.#log = log;
  }

  /** Adds a subscriber; with `listening` it is told to resync as soon as the caller has finished. */
  add(topic: string, { event, resync }: Subscriber, listening: boolean): Subscription {
    this.assertOpen();
    const entry = { event, resync };
    const entries = this.#byTopic.get(topic) ?? new Set();
    this.#byTopic.set(topic, entries.add(entry));
    if (listening) {
      queueMicrotask(() => {
        if (entries.has(entry)) {
          this.#call(() => entry.resync());
        }
      });
    }
    return {
      close: () => {
        entries.delete(entry);
        if (entries.size === 0 && this.#byTopic.get(topic) === entries) {
          this.#byTopic.delete(topic);
        }
      },
    };
  }

  /** Delivers a message of `encodeEvent`. */
  deliver(message: string): void {
    const { topic, payload } = decodeEvent(message);
    for (const entry of this.#byTopic.get(topic) ?? []) {
      this.#call(() => entry.event(payload));
    }
  }

  /** Tells everybody to resync. */
  resync(): void {
    for (const entries of this.#byTopic.values()) {
      for (const entry of entries) {
        this.#call(() => entry.resync());
      }
    }
  }

  assertOpen(): void {
    if (this.#closed) {
      throw new DatabaseClosed();
    }
  }

  /** Forgets everybody, and takes nobody any more. */
  close(): void {
    this.#closed = true;
    for (const entries of this.#byTopic.values()) {
      entries.clear();
    }
    this.#byTopic.clear();
  }

  #call(deliver: () => void): void {
    try {
      deliver();
    } catch (error) {
      this.#log.warn({ err: error }, "a subscriber of the event bus failed");
    }
  }
}
