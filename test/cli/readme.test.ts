import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { withVariables } from "../../scripts/readme-variables.ts";

const readme = await readFile(join(import.meta.dirname, "../../README.md"), "utf8");

test("the README's table of variables is what the code reads (`make gen` writes it)", () => {
  expect(withVariables(readme)).toBe(readme);
});

test("a table that has fallen behind is noticed", () => {
  const behind = readme.replace("`62050` |", "`62051` |");
  expect(behind).not.toBe(readme);
  expect(withVariables(behind)).not.toBe(behind);
});

test("a README without the place for the table is an error", () => {
  expect(() => withVariables("# Garrison\n")).toThrow("README.md lacks the lines");
});

test("`make` names every verb that has words, those with a dash too", async () => {
  const root = join(import.meta.dirname, "../..");
  const makefile = await readFile(join(root, "Makefile"), "utf8");
  const verbs = makefile.match(/^[\w-]+(?=:.*## )/gm) ?? [];
  const { stdout } = await promisify(execFile)("make", ["-C", root, "--no-print-directory", "help"]);
  expect(verbs).toContain("soak-core");
  expect(stdout.match(/(?<=^make )\S+/gm)).toEqual(verbs);
});
