import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { baselinePath, breakingMark, digestOf } from "./baseline.ts";
import { image } from "./buf.ts";
import { checkAgainstBaseline } from "./compatibility.ts";

/**
 * Accepts the contract under `root` as it is: writes it as the baseline, and the reason, with the baseline's digest, as
 * the newest line about the contract into the changelog. What breaks callers is returned instead, and nothing is
 * written, unless that is allowed; then the line says so.
 */
export function accept(root: string, reason: string, { breaking = false } = {}): string[] {
  const breaks = existsSync(join(root, baselinePath)) ? checkAgainstBaseline(root) : [];
  if (breaks.length > 0 && !breaking) return breaks;
  const baseline = image(root);
  const line = `- \`${digestOf(baseline)}\` ${breaks.length > 0 ? `${breakingMark} ` : ""}${reason}\n`;
  const changelog = readFileSync(join(root, "CHANGELOG.md"), "utf8");
  const at = changelog.indexOf(heading);
  if (at < 0) return ['CHANGELOG.md has no heading "### Contract" with an empty line after it'];
  const start = at + heading.length;
  writeFileSync(join(root, "CHANGELOG.md"), `${changelog.slice(0, start)}${line}${changelog.slice(start)}`);
  writeFileSync(join(root, baselinePath), baseline);
  return [];
}

const heading = "### Contract\n\n";
