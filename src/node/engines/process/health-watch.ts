import type { EngineProcess } from "./engine-process.ts";

/** How often an engine is asked whether it is well, and how much silence is too much. */
export interface HealthPace {
  readonly periodMs: number;
  /** How long one answer may take. */
  readonly timeoutMs: number;
  /** This many failures in a row: it hangs. */
  readonly failures: number;
}

/** As in the original: half a minute and more of silence, so that a machine under load does not drop its users. */
export const usualHealthPace: HealthPace = { periodMs: 2_000, timeoutMs: 3_000, failures: 10 };

/**
 * Asks a running engine regularly whether it answers, by `probe`, which rejects when it does not within that time, and
 * calls `hangs` once when it has not for too long. Stops by itself when the process ends, and when the returned function
 * is called.
 */
export function watchHealth(
  process: Pick<EngineProcess, "ended">,
  probe: (timeoutMs: number) => Promise<unknown>,
  { periodMs, timeoutMs, failures }: HealthPace,
  hangs: () => void,
): () => void {
  let silent = 0;
  let timer: NodeJS.Timeout;
  let ended = false;
  const ask = async () => {
    const answered = await probe(timeoutMs).then(
      () => true,
      () => false,
    );
    if (ended) return;
    silent = answered ? 0 : silent + 1;
    if (silent === failures) hangs();
    else later();
  };
  const later = () => {
    timer = setTimeout(() => void ask(), periodMs);
  };
  const stop = () => {
    ended = true;
    clearTimeout(timer);
  };
  void process.ended.then(stop);
  later();
  return stop;
}
