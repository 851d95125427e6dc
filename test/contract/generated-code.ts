import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buf } from "./buf.ts";

/** Whether `gen/` under `root` is what Buf generates from the contract there. Nothing under `root` is written. */
export function checkGeneratedCode(root: string): string[] {
  const fresh = mkdtempSync(join(tmpdir(), "garrison-gen-"));
  try {
    const failed = buf(root, "generate", "-o", fresh);
    if (failed.length > 0) return failed;
    const [committed, generated] = [tree(join(root, "gen")), tree(join(fresh, "gen"))];
    return [...new Set([...committed.keys(), ...generated.keys()])]
      .filter((path) => committed.get(path) !== generated.get(path))
      .map((path) => `gen/${path} ${committed.has(path) ? "is stale" : "is missing"}: run buf generate`);
  } finally {
    rmSync(fresh, { recursive: true });
  }
}

function tree(directory: string): Map<string, string> {
  return new Map(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(directory.length + 1), readFileSync(path, "utf8")]),
  );
}
