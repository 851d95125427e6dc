import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

// Runs everything that must hold before a change lands, and sums it up in one last line. A check counts as one test.
// A skipped test fails the run unless skips.json names it, with the reason.

interface Totals {
  passed: number;
  failed: number;
  skipped: string[];
}

interface VitestReport {
  testResults: {
    name: string;
    status: string;
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
  }[];
}

const root = new URL("..", import.meta.url).pathname;
const bin = join(root, "node_modules/.bin");
const totals: Totals = { passed: 0, failed: 0, skipped: [] };
/** What failed and why, said again at the end: the log of a run is long, and often only its end is kept. */
const failures: string[] = [];

check("biome", join(bin, "biome"), ["ci", "--error-on-warnings", "."]);
check("types", join(bin, "tsc"), ["--noEmit"]);
check("dead code and dependencies", join(bin, "knip"), []);
vitest();
conformance();

const unlisted = totals.skipped.filter((name) => !listedSkips().has(name));
for (const failure of failures) console.log(`\nfailed: ${failure}`);
for (const name of unlisted) console.error(`skipped, but not in test/skips.json: ${name}`);
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped.length} skipped`);
process.exitCode = totals.failed > 0 || unlisted.length > 0 ? 1 : 0;

function check(name: string, command: string, args: string[]): void {
  console.log(`\n== ${name}`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  if (status === 0) totals.passed += 1;
  else {
    fail(`${name} (exit ${status})`);
  }
}

function vitest(): void {
  const directory = mkdtempSync(join(tmpdir(), "garrison-test-"));
  const report = join(directory, "report.json");
  console.log("\n== tests");
  const args = ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const { status } = spawnSync(join(bin, "vitest"), args, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  const failedBefore = totals.failed;
  count(JSON.parse(readFileSync(report, "utf8")) as VitestReport);
  // A suite that breaks outside its tests (an unhandled error, say) fails the run too.
  if (status !== 0 && totals.failed === failedBefore) fail(`the tests, outside of every test (exit ${status})`);
  rmSync(directory, { recursive: true });
}

function conformance(): void {
  console.log("\n== conformance");
  const { status, stdout } = spawnSync(process.execPath, ["test/conformance/run.ts"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  console.log(stdout);
  const failedBefore = totals.failed;
  for (const [, passed, failed] of stdout.matchAll(/^conformance .*: (\d+) passed, (\d+) failed/gm)) {
    totals.passed += Number(passed);
    totals.failed += Number(failed);
  }
  // A run that was cut short has no count, or too low a one.
  if (status !== 0 && totals.failed === failedBefore) fail(`conformance (exit ${status})`);
}

function fail(what: string): void {
  totals.failed += 1;
  failures.push(what);
}

function count(report: VitestReport): void {
  for (const suite of report.testResults) {
    const file = suite.name.slice(root.length);
    if (suite.status === "failed" && suite.assertionResults.every(({ status }) => status !== "failed"))
      fail(`${file}\n${suite.message}`);
    for (const { fullName, status, failureMessages } of suite.assertionResults) {
      if (status === "passed") totals.passed += 1;
      else if (status === "failed") fail(`${file}: ${fullName}\n${failureMessages.join("\n").slice(0, 2_000)}`);
      else totals.skipped.push(`${file}: ${fullName}`);
    }
  }
}

function listedSkips(): Set<string> {
  const listed = JSON.parse(readFileSync(join(root, "test/skips.json"), "utf8")) as { test: string; reason: string }[];
  return new Set(listed.map(({ test }) => test));
}
