import { type EventBus, encodeEvent } from "../event-bus.ts";
import type { Subscribers } from "../subscribers.ts";
import type { TransactionScope } from "../transaction-scope.ts";

/** The bus of a database that one process uses: events stay in the process. */
export function createSqliteEventBus(subscribers: Subscribers, scope: TransactionScope): EventBus {
  return {
    async publish(topic, payload, tx) {
      subscribers.assertOpen();
      const message = encodeEvent(topic, payload);
      // Not at once: nobody who publishes expects that subscribers run before it has gone on.
      const deliver = () => queueMicrotask(() => subscribers.deliver(message));
      if (tx === undefined) {
        scope.assertOutside();
        deliver();
      } else {
        scope.afterCommit(deliver);
      }
    },
    subscribe: (topic, subscriber) => subscribers.add(topic, subscriber, true),
  };
}
