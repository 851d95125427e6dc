import { readFile } from "node:fs/promises";
import { join } from "node:path";
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
