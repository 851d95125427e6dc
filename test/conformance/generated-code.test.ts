import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { buf } from "../contract/buf.ts";

const here = import.meta.dirname;

test("the code of the conformance contract is current", () => {
  const fresh = mkdtempSync(join(tmpdir(), "garrison-conformance-gen-"));
  try {
    expect(buf(here, "generate", "-o", fresh)).toEqual([]);
    const filesUnder = (folder: string) => {
      const names = globSync("gen/**/*.ts", { cwd: folder }).sort();
      return new Map(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
    };
    expect(filesUnder(here)).toEqual(filesUnder(fresh));
    expect(filesUnder(fresh).size).toBe(5);
  } finally {
    rmSync(fresh, { recursive: true });
  }
});
