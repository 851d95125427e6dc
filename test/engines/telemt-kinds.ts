import { describe, test } from "vitest";
import type { TelemtKind } from "./telemt-under-test.ts";

/** Runs a suite on the stand-in, and the same on telemt itself where `TELEMT_PATH` names one. */
export function onEveryTelemt(what: string, suite: (kind: TelemtKind) => void): void {
  const others: TelemtKind[] = process.env.TELEMT_PATH ? ["telemt itself"] : [];
  describe.each<TelemtKind>(["the stand-in", ...others])(`${what} of %s`, suite);
  if (others.length === 0) test.skip(`${what} of telemt itself`);
}
