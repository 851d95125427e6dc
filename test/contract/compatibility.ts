import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compareBindings } from "../../src/platform/rest/compare-bindings.ts";
import { baselinePath, contractLines } from "./baseline.ts";
import { buf, image } from "./buf.ts";

// Buf compares what goes over the wire, and knows nothing of our REST options: those are compared by their adapter.

/** What of the contract under `root` breaks callers of the baseline. */
export function checkAgainstBaseline(root: string): string[] {
  const wire = buf(root, "breaking", "proto", "--against", baselinePath);
  return [...wire, ...restBreaks(readFileSync(join(root, baselinePath)), root)];
}

/**
 * What of the contract under `root`, a Git work tree, breaks callers of the previous commit. Nothing where there is no
 * previous commit with a contract, or where the changelog has since got a line that says so.
 */
export function checkAgainstPreviousCommit(root: string): string[] {
  const previous = extract(root, "HEAD~1");
  if (previous === undefined) return [];
  try {
    const wire = buf(root, "breaking", "--against", previous);
    const findings = [...wire, ...restBreaks(image(previous), root)];
    return findings.length > 0 && saysItBreaks(root, previous) ? [] : findings;
  } finally {
    rmSync(previous, { recursive: true });
  }
}

function restBreaks(before: Uint8Array, root: string): string[] {
  return compareBindings(before, image(root)).map((finding) => `REST: ${finding}`);
}

function saysItBreaks(root: string, previous: string): boolean {
  const [now, then] = [root, previous].map((directory) => {
    const changelog = join(directory, "CHANGELOG.md");
    return existsSync(changelog) ? contractLines(readFileSync(changelog, "utf8")) : [];
  });
  const known = new Set(then?.map(({ digest }) => digest));
  return now?.some(({ digest, breaking }) => breaking && !known.has(digest)) ?? false;
}

function extract(root: string, commit: string): string | undefined {
  const { status, stderr } = spawnSync("git", ["rev-parse", "--verify", "--quiet", commit], {
    cwd: root,
    encoding: "utf8",
  });
  // Quietly: there is no such commit. A copy without history has none either.
  if (status !== 0 && (stderr === "" || stderr.includes("not a git repository"))) return undefined;
  if (status !== 0) throw new Error(`git does not tell whether there is ${commit}: ${stderr}`);
  const listed = execFileSync("git", ["ls-tree", "--name-only", commit], { cwd: root, encoding: "utf8" });
  const present = listed.split("\n");
  if (!present.includes("proto")) return undefined;
  const parts = ["proto", "third_party", "buf.yaml", "CHANGELOG.md"].filter((part) => present.includes(part));
  const directory = mkdtempSync(join(tmpdir(), "garrison-previous-"));
  const archive = execFileSync("git", ["archive", "--format=tar", commit, "--", ...parts], {
    cwd: root,
    maxBuffer: 64 * 1024 * 1024,
  });
  execFileSync("tar", ["-x", "-C", directory], { input: archive });
  return directory;
}
