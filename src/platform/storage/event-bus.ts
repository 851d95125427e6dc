import type { QueryExecutorProvider } from "kysely";

/**
 * Wakes those who wait for a change, in this process and, on PostgreSQL, in all others. It carries hints, never state:
 * what must not be lost is in a table, and whoever hears of an event reads it there.
 */
export interface EventBus {
  /**
   * Tells the subscribers of `topic`, this process included: at once, or with `tx` when and only if that transaction
   * commits. A payload that does not fit is left out, and the event still delivered. Events that are equal and of one
   * transaction may be delivered once.
   *
   * On PostgreSQL commits that carry events wait for one another: publish what people do, not what traffic does.
   */
  publish(topic: string, payload: string, tx?: QueryExecutorProvider): Promise<void>;
  /** Delivers the events of a topic from now on, one after another. */
  subscribe(topic: string, subscriber: Subscriber): Subscription;
}

/** Who listens. Neither function may throw; what they throw is logged. */
export interface Subscriber {
  /** Something happened. The payload is undefined when it was too long to be sent. */
  event(payload: string | undefined): void;
  /**
   * From now on events are heard; others before may have been missed: read the state anew. Called soon after `subscribe`
   * and again whenever the connection was lost and is back.
   */
  resync(): void;
}

/** Ends a subscription; nothing is delivered any more. Idempotent. */
export interface Subscription {
  close(): void;
}

/** PostgreSQL takes less than 8,000 bytes in one notification. */
const messageLimitBytes = 7999;

/** Topic and payload in one message; without the payload where it would be too long. */
export function encodeEvent(topic: string, payload: string): string {
  if (!/^[a-z][a-z0-9.-]{0,62}$/.test(topic)) {
    throw new TypeError(`"${topic}" is no topic: lower case letters, digits, dots and dashes, at most 63`);
  }
  if (payload.includes("\0")) {
    throw new TypeError("the payload of an event holds no zero characters");
  }
  const message = `${topic} ${payload}`;
  return Buffer.byteLength(message) <= messageLimitBytes ? message : topic;
}

/** The reverse of {@link encodeEvent}. */
export function decodeEvent(message: string): { topic: string; payload: string | undefined } {
  const space = message.indexOf(" ");
  return space < 0
    ? { topic: message, payload: undefined }
    : { topic: message.slice(0, space), payload: message.slice(space + 1) };
}
