import type { EngineEvents } from "../engine.ts";
import { endRecorded, incarnationOf, lastRecorded, type ProcessRecord, stillRuns } from "../process/process-record.ts";
import { XrayApi } from "./api.ts";
import type { KeptPlan } from "./plan-records.ts";
import { type Launch, leaving, type RunningXray, takeOverXray, terminationGraceMs } from "./running.ts";
import { createCounterReader } from "./traffic.ts";

/** Options of {@link recoverXray}. */
export interface RecoveryOptions {
  /** Where it was noted which process runs. */
  readonly record: string;
  /** Where its API is. */
  readonly apiSocket: string;
  /** What was kept, if anything, and how its plan is run. */
  readonly kept: KeptPlan | undefined;
  readonly launchOf: (plan: KeptPlan["plan"]) => Launch;
  /** Aborted when nothing is wanted any more. */
  readonly signal: AbortSignal;
  readonly events: Pick<EngineEvents, "drained" | "line" | "vanished">;
}

/**
 * The Xray that an earlier process of this node has left, if it runs just what was kept, and answers. Any other that it
 * has left is ended, unless the signal says {@link leaving}.
 */
export async function recoverXray({
  record,
  kept,
  launchOf,
  signal,
  apiSocket,
  events,
}: RecoveryOptions): Promise<RunningXray | undefined> {
  const tell = (note: string) => events.line(`[garrison] ${note}`);
  const left = await lastRecorded(record);
  if (left === undefined) return undefined;
  if (!stillRuns(left)) {
    events.vanished?.(incarnationOf(left));
    return undefined;
  }
  const launch = kept && launchFor(left, kept, launchOf);
  if (launch !== undefined) {
    try {
      const running = await takeOverXray(left, { ...launch, timeoutMs: answerTimeoutMs }, signal);
      tell(`goes on with the xray that the last run has left, process ${left.pid}`);
      return running;
    } catch (error) {
      if (signal.reason === leaving) return undefined;
      tell(`cannot go on with the xray that the last run has left: ${error}`);
    }
  }
  tell(`ends the xray that the last run has left, process ${left.pid}`);
  // Where nothing was kept nobody knows what was read of it before.
  if (kept === undefined) events.vanished?.(incarnationOf(left));
  else await readLast(left, apiSocket, events);
  await endRecorded(left, terminationGraceMs);
  return undefined;
}

/** What it counted until now is not lost with it, if it still answers. */
async function readLast(
  left: ProcessRecord,
  apiSocket: string,
  { drained, vanished }: RecoveryOptions["events"],
): Promise<void> {
  const api = new XrayApi(apiSocket, undefined);
  const incarnation = incarnationOf(left);
  try {
    drained({ incarnation, counters: await createCounterReader(api)(undefined, answerTimeoutMs) });
  } catch {
    vanished?.(incarnation);
  } finally {
    api.close();
  }
}

/** An Xray that was left and runs answers at once. */
const answerTimeoutMs = 3_000;

/** How the process that was left is gone on with; undefined when it does not run just what was kept. */
function launchFor(
  left: ProcessRecord,
  { plan, isExact }: KeptPlan,
  launchOf: RecoveryOptions["launchOf"],
): (Launch & { readonly output: string }) | undefined {
  const launch = launchOf(plan);
  const { output } = launch;
  return left.plan === plan.id && isExact && output !== undefined ? { ...launch, output } : undefined;
}
