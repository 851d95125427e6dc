import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { readText } from "../../../platform/files/read-text.ts";
import { replaceFile } from "../../../platform/files/replace-file.ts";
import { bootId, executableOf, isRunning, signalProcess } from "../../../platform/proc.ts";
import type { Incarnation } from "../engine.ts";
import type { EngineProcess } from "./engine-process.ts";

/** Which process runs: what whoever comes after this process needs to find it again. */
export interface ProcessRecord {
  readonly bootId: string;
  readonly pid: number;
  readonly startTicks: string;
  /** Absolute. */
  readonly executable: string;
  /** The plan that it was started for. */
  readonly plan: string;
  /** Empty until it answered. */
  readonly version: string;
}

/** Notes that a process runs. */
export async function recordProcess(
  path: string,
  { pid, startTicks }: Pick<EngineProcess, "pid" | "startTicks">,
  about: Pick<ProcessRecord, "plan" | "version">,
): Promise<void> {
  const record: ProcessRecord = { bootId: bootId(), pid, startTicks, executable: executableOf(pid), ...about };
  // Of no use after a power cut.
  await replaceFile(path, `${JSON.stringify(record)}\n`, { synced: false });
}

/** The process that was noted last. It may be gone. */
export async function lastRecorded(path: string): Promise<ProcessRecord | undefined> {
  return parse((await readText(path)) ?? "");
}

/**
 * The process that was noted, if it still runs: the same one beyond doubt, by the run of the system, pid, start time and
 * program.
 */
export async function recordedProcess(path: string): Promise<ProcessRecord | undefined> {
  const record = await lastRecorded(path);
  return record !== undefined && stillRuns(record) ? record : undefined;
}

/** Names the life of the counters of a process that was noted. */
export function incarnationOf({ bootId: boot, pid, startTicks }: ProcessRecord): Incarnation {
  return `${boot}/${pid}/${startTicks}`;
}

/** Notes that no process runs. */
export async function forgetProcess(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** Ends a process with SIGTERM, and with SIGKILL when it still lives after that time. */
export async function endRecorded(record: ProcessRecord, graceMs: number): Promise<void> {
  const end = performance.now() + graceMs;
  for (
    let signal: NodeJS.Signals | 0 = "SIGTERM";
    stillRuns(record);
    signal = performance.now() > end ? "SIGKILL" : 0
  ) {
    signalProcess(record.pid, record.startTicks, signal);
    await sleep(10);
  }
}

/** Whether it still runs. */
export function stillRuns({ bootId: boot, pid, startTicks, executable }: ProcessRecord): boolean {
  try {
    return boot === bootId() && isRunning(pid, startTicks) && executableOf(pid) === executable;
  } catch {
    return false; // it went away just now, or is not this user's
  }
}

function parse(text: string): ProcessRecord | undefined {
  try {
    const { bootId, pid, startTicks, executable, plan, version }: Partial<Record<string, unknown>> = JSON.parse(text);
    const texts = [bootId, startTicks, executable, plan, version];
    if (typeof pid !== "number" || texts.some((each) => typeof each !== "string")) return undefined;
    return { bootId, pid, startTicks, executable, plan, version } as ProcessRecord; // looked at just now
  } catch {
    return undefined; // torn, or from a version that wrote it in another way
  }
}
