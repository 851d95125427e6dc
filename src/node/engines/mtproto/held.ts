import { createInTurn } from "../../../platform/in-turn.ts";
import { type HealthPace, watchHealth } from "../process/health-watch.ts";
import type { CountedProcess } from "./counters.ts";
import type { RunningTelemt } from "./running.ts";
import { readSample, type TrafficSample } from "./traffic.ts";

/** A process of telemt that serves, and its counters. */
export interface Held {
  readonly running: RunningTelemt;
  /** Reads its counters, and counts what has come. */
  readonly sample: () => Promise<TrafficSample>;
  readonly counted: CountedProcess;
  /** Aborted when it has ended. */
  readonly gone: AbortSignal;
}

/** Has what a process of telemt counts be counted. */
export function hold(running: RunningTelemt, counted: CountedProcess): Held {
  const gone = new AbortController();
  void running.process.ended.then(() => gone.abort());
  const inTurn = createInTurn();
  // One that was taken before another must not be counted after it.
  const sample = () =>
    inTurn(async () => {
      const taken = await readSample(running.api);
      counted.observe(taken);
      return taken;
    });
  return { running, counted, sample, gone: gone.signal };
}

/**
 * Asks telemt how it is, again and again. Tells why it is not ready when that is something else than before, undefined
 * when it is ready again; and that it has not answered for too long, once. Returns what ends that.
 */
export function watchWellbeing(
  { running: { process, api } }: Held,
  pace: HealthPace,
  tell: { readonly readiness: (reason: string | undefined) => void; readonly silent: () => void },
): () => void {
  let told: string | undefined;
  const look = async (timeoutMs: number) => {
    await api.health(timeoutMs);
    const reason = await api.whyNotReady(timeoutMs);
    if (reason !== told) tell.readiness(reason);
    told = reason;
  };
  return watchHealth(process, look, pace, tell.silent);
}
