import type { Logger } from "../../../platform/telemetry/log.ts";
import { CoreAway } from "../contact/core-client.ts";
import type { Announced, ConfigSync } from "./config-sync.ts";

/** Applies configs as they are announced, one at a time; of those that come meanwhile, the last one. */
export interface LatestSync {
  /** There may be another config. Returns at once. */
  wanted(announced: Announced | undefined): void;
  settled(): Promise<void>;
}

/** Makes it. What fails is tried again when the next heartbeat asks for it. */
export function createLatestSync(sync: Pick<ConfigSync, "sync">, log: Logger): LatestSync {
  let next: { readonly announced: Announced | undefined } | undefined;
  let running: Promise<void> | undefined;

  async function run(): Promise<void> {
    for (let taken = next; taken !== undefined; taken = next) {
      next = undefined;
      try {
        await sync.sync(taken.announced);
      } catch (error) {
        if (error instanceof CoreAway) log.debug({ reason: error.message }, "the config cannot be fetched");
        else log.warn({ err: error }, "the newest config cannot be fetched");
      }
    }
    running = undefined;
  }

  return {
    wanted(announced) {
      next = { announced };
      running ??= run();
    },
    async settled() {
      await running;
    },
  };
}
