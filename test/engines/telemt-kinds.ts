import { describe } from "vitest";
import type { TelemtKind } from "./telemt-under-test.ts";

/** Runs a suite on the stand-in, and the same on telemt itself where `TELEMT_PATH` names one. */
export function onEveryTelemt(what: string, suite: (kind: TelemtKind) => void): void {
  const kinds: TelemtKind[] = process.env.TELEMT_PATH ? ["the stand-in", "telemt itself"] : ["the stand-in"];
  describe.each(kinds)(`${what} of %s`, suite);
}
