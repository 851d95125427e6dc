import type { Transaction } from "kysely";
import type { Database } from "../../../platform/storage/database.ts";
import type { ConfigPublisher, ConfigScope } from "../../domain/configs.ts";
import { recordAudit } from "../audit.ts";
import type { CoreSchema } from "../schema.ts";

/** A change that is being made, in a transaction. */
export interface Change {
  readonly tx: Transaction<CoreSchema>;
  /** When, in milliseconds since 1970. */
  readonly at: number;
  /** Notes it in the audit log. `details` hold no secrets. */
  audit(action: string, target: string, details?: Readonly<Record<string, unknown>>): Promise<void>;
  /** Has configs published when the change is committed. */
  publish(scope: ConfigScope, reason: string): void;
  /** Tells the other replicas when the change is committed. */
  announce(topic: string, payload: string): Promise<void>;
}

/** Makes a change in the name of an actor. What `body` throws undoes it. */
export type MakeChange = <T>(actor: string, body: (change: Change) => Promise<T>) => Promise<T>;

/** Options of {@link createMakeChange}. */
export interface MakeChangeOptions {
  database: Pick<Database<CoreSchema>, "transaction" | "events">;
  publisher: ConfigPublisher;
  /** Told of every change, after it. */
  onChange?: () => void;
  /** Milliseconds since 1970. */
  now: () => number;
}

/** Changes of the fleet: each in one transaction with its note in the audit log, and published after it. */
export function createMakeChange({ database, publisher, onChange, now }: MakeChangeOptions): MakeChange {
  return async (actor, body) => {
    // A transaction that conflicts with another one is tried again from its beginning.
    let toPublish: [ConfigScope, string][] = [];
    const result = await database.transaction((tx) => {
      toPublish = [];
      const at = now();
      return body({
        tx,
        at,
        audit: (action, target, details) => recordAudit(tx, { at, actor, action, target, ...(details && { details }) }),
        publish: (scope, reason) => void toPublish.push([scope, reason]),
        announce: (topic, payload) => database.events.publish(topic, payload, tx),
      });
    });
    for (const [scope, reason] of toPublish) publisher.changed(scope, reason);
    onChange?.();
    return result;
  };
}
