import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { Database } from "../platform/storage/database.ts";
import type { ConfigPublisher, Configs } from "./domain/configs.ts";
import { Publishing } from "./domain/publishing.ts";
import { type ServedConfigs, serveConfigs } from "./domain/serving.ts";
import { Sweeping } from "./domain/sweeping.ts";
import { createConfigStore } from "./store/config-store.ts";
import { createPublicationStore, type Debounce } from "./store/publications.ts";
import type { CoreSchema } from "./store/schema.ts";
import { createSweepStore } from "./store/sweeps.ts";

/** Options of {@link openConfigs}. */
export interface ConfigOptions {
  database: Database<CoreSchema>;
  /** Milliseconds since 1970. */
  now: () => number;
  log: { warn(details: object, message: string): void };
  /** How long changes are collected. */
  debounce?: Debounce;
  /** So many revisions were published. */
  counted?: (revisions: number) => void;
}

/** The configs of nodes: published, served, and kept right as time goes by. */
export interface OpenConfigs {
  readonly publisher: ConfigPublisher;
  readonly configs: Configs & Pick<ServedConfigs, "watchers">;
  /** Finishes what it has begun. */
  close(): Promise<void>;
}

/** Puts together what deals with configs. */
export function openConfigs({ database, now, log, debounce, counted }: ConfigOptions): OpenConfigs {
  const rest = () => setImmediate();
  const configs = serveConfigs({
    store: createConfigStore(database),
    now,
    random: Math.random,
    rest,
    newName: randomUUID,
    onProblem: (err) => log.warn({ err }, "a stream of configs could not be announced to other replicas"),
  });
  const publishing = new Publishing({
    store: createPublicationStore(database, debounce),
    name: randomUUID(),
    now,
    rest,
    rendered: configs.rendered,
    ...(counted && { counted }),
    log,
  });
  const sweeping = new Sweeping({
    store: createSweepStore(database, debounce),
    now,
    onNews: () => publishing.wake(),
    log,
  });
  return {
    publisher: publishing,
    configs,
    async close() {
      configs.close();
      await sweeping.close();
      await publishing.close();
    },
  };
}
