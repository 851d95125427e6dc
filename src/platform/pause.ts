import { setTimeout as sleep } from "node:timers/promises";

/** Waits, without keeping the process alive. False when the signal comes first. */
export async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { ref: false, signal });
    return true;
  } catch {
    return false;
  }
}
