import { runSs } from "./ss.ts";
import { type CutConnection, type CutTarget, filtersOf } from "./ss-filter.ts";
import { readConnections } from "./ss-output.ts";

/** What was cut, and whether that is all. */
export interface CutOutcome {
  readonly connections: readonly CutConnection[];
  /** Why some may be left. Undefined when all are cut. */
  readonly failure: string | undefined;
}

/** Options of {@link cutConnections}. */
export interface CutOptions {
  /** The environment, of which `ss` is found by the `PATH`. */
  env: NodeJS.ProcessEnv;
  /** How long it may take. */
  timeoutMs: number;
}

/** Cuts established TCP connections by `ss -K`, in as few runs as their number allows. Never rejects. */
export async function cutConnections(targets: readonly CutTarget[], options: CutOptions): Promise<CutOutcome> {
  const { env, timeoutMs } = options;
  const deadlineMs = performance.now() + timeoutMs;
  const connections: CutConnection[] = [];
  for (const filter of filtersOf(targets)) {
    const leftMs = Math.ceil(deadlineMs - performance.now());
    if (leftMs <= 0) return { connections, failure: `not done within ${timeoutMs} ms` };
    const { stdout, failure } = await runSs(["-K", "-tn", ...states, filter], { env, timeoutMs: leftMs });
    connections.push(...readConnections(stdout));
    if (failure !== undefined) return { connections, failure };
  }
  return { connections, failure: undefined };
}

// A user who has sent everything may still receive.
const states = ["state", "established", "state", "close-wait"];
