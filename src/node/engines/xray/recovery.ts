import { endRecorded, type ProcessRecord, recordedProcess } from "../process/process-record.ts";
import type { KeptPlan } from "./plan-records.ts";
import { type Launch, leaving, type RunningXray, takeOverXray, terminationGraceMs } from "./running.ts";

/** Options of {@link recoverXray}. */
export interface RecoveryOptions {
  /** Where it was noted which process runs. */
  readonly record: string;
  /** What was kept, if anything, and how its plan is run. */
  readonly kept: KeptPlan | undefined;
  readonly launchOf: (plan: KeptPlan["plan"]) => Launch;
  /** Aborted when nothing is wanted any more. */
  readonly signal: AbortSignal;
  readonly tell: (note: string) => void;
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
  tell,
}: RecoveryOptions): Promise<RunningXray | undefined> {
  const left = await recordedProcess(record);
  if (left === undefined) return undefined;
  const launch = kept && launchFor(left, kept, launchOf);
  if (launch !== undefined) {
    try {
      const running = await takeOverXray(left, { ...launch, timeoutMs: answerTimeoutMs }, signal);
      tell(`[garrison] goes on with the xray that the last run has left, process ${left.pid}`);
      return running;
    } catch (error) {
      if (signal.reason === leaving) return undefined;
      tell(`[garrison] cannot go on with the xray that the last run has left: ${error}`);
    }
  }
  tell(`[garrison] ends the xray that the last run has left, process ${left.pid}`);
  await endRecorded(left, terminationGraceMs);
  return undefined;
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
