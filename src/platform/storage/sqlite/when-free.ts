import { DatabaseBusy } from "../errors.ts";
import { backoffMs, type Timing } from "../timing.ts";
import { translateError } from "./errors.ts";

/** How long SQLite itself may wait for a lock. That blocks the thread, so it only bridges moments. */
export const lockTimeoutMs = 10;

/**
 * Executes what may find the database locked by another process, again and again until `limitMs` have passed; then
 * throws `DatabaseBusy`. The thread is free in between.
 */
export async function whenFree<T>(timing: Timing, limitMs: number, execute: () => T | Promise<T>): Promise<T> {
  const deadline = timing.now() + limitMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await execute();
    } catch (error) {
      const translated = translateError(error);
      const waitMs = backoffMs(attempt, timing.random(), 2, 50);
      if (!(translated instanceof DatabaseBusy) || timing.now() + waitMs > deadline) {
        throw translated;
      }
      await timing.sleep(waitMs);
    }
  }
}
