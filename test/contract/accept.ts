import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { baselinePath, breakingMark, digestOf } from "./baseline.ts";
import { image } from "./buf.ts";
import { checkAgainstBaseline } from "./compatibility.ts";

// Accepts the contract as it is: writes it as the baseline, and the reason, with the baseline's digest, into the
// changelog. A change that breaks callers is accepted only with --breaking, and then the line says so.
//
//   node test/contract/accept.ts [--breaking] "<what changed, for callers>"

const root = new URL("../..", import.meta.url).pathname;
const breakingAllowed = process.argv.includes("--breaking");
const [reason, ...rest] = process.argv.slice(2).filter((argument) => argument !== "--breaking");
if (!reason || rest.length > 0) fail('usage: node test/contract/accept.ts [--breaking] "<what changed, for callers>"');

const breaks = existsSync(join(root, baselinePath)) ? checkAgainstBaseline(root) : [];
if (breaks.length > 0 && !breakingAllowed) fail([...breaks, "to break callers on purpose: --breaking"].join("\n"));

const baseline = image(root);
const line = `- \`${digestOf(baseline)}\` ${breaks.length > 0 ? `${breakingMark} ` : ""}${reason}\n`;
const changelog = readFileSync(join(root, "CHANGELOG.md"), "utf8");
const [before, after] = splitAfterHeading(changelog);
writeFileSync(join(root, baselinePath), baseline);
writeFileSync(join(root, "CHANGELOG.md"), `${before}${line}${after}`);

function splitAfterHeading(text: string): [string, string] {
  const heading = "### Contract\n\n";
  const at = text.indexOf(heading);
  if (at < 0) fail('CHANGELOG.md has no heading "### Contract" with an empty line after it');
  return [text.slice(0, at + heading.length), text.slice(at + heading.length)];
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}
