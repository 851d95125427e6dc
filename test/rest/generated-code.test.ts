import { globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { buf } from "../contract/buf.ts";

const root = new URL("../..", import.meta.url).pathname;
const settings = ["--config", "test/rest/buf.yaml", "--template", "test/rest/buf.gen.yaml"];

test("the code of the test-only contract is current", () => {
  const fresh = mkdtempSync(join(tmpdir(), "garrison-rest-gen-"));
  try {
    expect(buf(root, "generate", ".", ...settings, "--path", "test/rest/proto/garrison", "-o", fresh)).toEqual([]);
    const filesUnder = (folder: string) => {
      const names = globSync("test/rest/gen/**/*.ts", { cwd: folder }).sort();
      return new Map(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
    };
    expect(filesUnder(root)).toEqual(filesUnder(fresh));
    expect(filesUnder(fresh).size).toBe(4);
  } finally {
    rmSync(fresh, { recursive: true });
  }
});
