import { constants } from "node:fs";
import { dirname, join } from "node:path";
import { readText } from "../../platform/files/read-text.ts";
import { replaceFile } from "../../platform/files/replace-file.ts";
import { isFile } from "../../platform/is-file.ts";
import type { EngineProgram } from "../engines/engine.ts";

/** Keeps, whole or not at all, that a program is used instead of the one that the settings name. */
export async function keepCore(path: string, executable: string, insteadOf: string): Promise<void> {
  const kept: KeptCore = { executable, insteadOf };
  await replaceFile(path, `${JSON.stringify(kept)}\n`);
}

/**
 * The program to use: the one that a core update brought, unless the settings name another one than they did then, or it
 * is gone; else what the settings name.
 */
export async function programToUse(path: string, configured: EngineProgram): Promise<EngineProgram> {
  const kept = readKept((await readText(path)) ?? "");
  if (kept === undefined || kept.insteadOf !== configured.executable) return configured;
  if (!(await isFile(kept.executable, constants.X_OK))) return configured;
  return withExecutable(configured, kept.executable);
}

/** Another executable for a program. Geodata that came with it are used only where there are no others. */
export async function withExecutable({ assets }: EngineProgram, executable: string): Promise<EngineProgram> {
  const hasGeodata = (directory: string) => isFile(join(directory, "geoip.dat"), constants.R_OK);
  const own = dirname(executable);
  return { executable, assets: !(await hasGeodata(assets)) && (await hasGeodata(own)) ? own : assets };
}

interface KeptCore {
  readonly executable: string;
  /** The executable that the settings named then. */
  readonly insteadOf: string;
}

function readKept(text: string): KeptCore | undefined {
  try {
    const { executable, insteadOf }: Partial<Record<string, unknown>> = JSON.parse(text);
    return typeof executable === "string" && typeof insteadOf === "string" ? { executable, insteadOf } : undefined;
  } catch {
    return undefined;
  }
}
