import { randomUUID } from "node:crypto";
import { readText } from "../../../../platform/files/read-text.ts";
import { replaceFile } from "../../../../platform/files/replace-file.ts";
import { bootId } from "../../../../platform/proc.ts";
import type { Incarnation } from "../../engine.ts";

/**
 * Names the life of the counters of an interface of the kernel that was just made, and notes it: the system has no name
 * for it, since a container that is started again gives the same index once more.
 */
export async function recordInterface(path: string, index: number): Promise<Incarnation> {
  const incarnation: Incarnation = `${bootId()}/${index}/${randomUUID()}`;
  // Of no use after a power cut.
  await replaceFile(path, `${JSON.stringify({ index, incarnation })}\n`, { synced: false });
  return incarnation;
}

/** What was noted of an interface. Undefined for one that another process than this node has made since. */
export async function recordedInterface(path: string, index: number): Promise<Incarnation | undefined> {
  try {
    const noted: { index?: unknown; incarnation?: unknown } = JSON.parse((await readText(path)) ?? "{}");
    const { incarnation } = noted;
    const isIt = noted.index === index && typeof incarnation === "string" && incarnation.startsWith(`${bootId()}/`);
    return isIt ? incarnation : undefined;
  } catch {
    return undefined; // torn
  }
}
