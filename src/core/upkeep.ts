import type { Database } from "../platform/storage/database.ts";
import { HistoryRetention } from "./domain/history-retention.ts";
import { InboundCheck } from "./domain/usage/inbound-check.ts";
import { UsageRetention } from "./domain/usage/retention.ts";
import { readInboundDay } from "./store/fleet-readings.ts";
import { createHistoryStore } from "./store/history.ts";
import type { CoreSchema } from "./store/schema.ts";
import { createRetentionStore } from "./store/usage/retention.ts";

/** What goes on by itself as time goes by, besides configs. */
export interface Upkeep {
  /** Inbounds whose users were not counted in full on the day that was looked at last. */
  readonly driftingInbounds: number;
  /** Finishes what it is at. */
  close(): Promise<void>;
}

/** Options of {@link openUpkeep}. */
export interface UpkeepOptions {
  database: Database<CoreSchema>;
  /** Milliseconds since 1970. */
  now: () => number;
  log: { warn(details: object, message: string): void };
}

/** Keeps usage small, forgets what is old, and compares inbounds with their users. */
export function openUpkeep({ database, now, log }: UpkeepOptions): Upkeep {
  const usage = new UsageRetention({ store: createRetentionStore(database), now, log });
  const history = new HistoryRetention({ store: createHistoryStore(database), now, log });
  const inbounds = new InboundCheck({ days: (day) => readInboundDay(database, day), now, log });
  return {
    get driftingInbounds() {
      return inbounds.drifting;
    },
    async close() {
      await Promise.all([usage.close(), history.close(), inbounds.close()]);
    },
  };
}
