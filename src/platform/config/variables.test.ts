import { describe, expect, test } from "vitest";
import { port, readableFile, token, wholeNumber } from "./value-types.ts";
import {
  optional,
  readVariables,
  SettingsRefused,
  variable,
  variablesAsMarkdown,
  variablesAsText,
} from "./variables.ts";

const variables = {
  PORT: variable(port, { about: "Where it listens.", default: "62050" }),
  LINES: optional(wholeNumber(1), { about: "How many.", absent: "all" }),
  TOKEN: optional(token, { about: "Opens the door.", absent: "none", secret: true }),
};

describe("values", () => {
  test("are the defaults where nothing is set", async () => {
    expect(await readVariables(variables, {})).toEqual({ PORT: 62050 });
  });

  test("count as absent when they are empty", async () => {
    expect(await readVariables(variables, { PORT: "", LINES: "", TOKEN: "" })).toEqual({ PORT: 62050 });
  });

  test("are read where they are set, and other variables are left alone", async () => {
    const env = { PORT: "1", LINES: "2", TOKEN: "x", OTHER: "y" };
    expect(await readVariables(variables, env)).toEqual({ PORT: 1, LINES: 2, TOKEN: "x" });
  });
});

describe("wrong values", () => {
  test("are all told at once, each with the variable, the value and what would be right", async () => {
    const reading = readVariables(variables, { PORT: "http", LINES: "0" });
    await expect(reading).rejects.toThrow(SettingsRefused);
    await expect(reading).rejects.toMatchObject({
      problems: [
        'PORT is "http": it must be a whole number from 0 to 65535',
        'LINES is "0": it must be a whole number of at least 1',
      ],
    });
  });

  test.each([
    ["a b", `TOKEN is "…" (3 characters): it must be visible ASCII characters without blanks`],
    ["a 123456789abcdefghi", `TOKEN is "a 12…" (20 characters): it must be visible ASCII characters without blanks`],
  ])("of secrets are not shown: %j", async (value, problem) => {
    await expect(readVariables(variables, { TOKEN: value })).rejects.toMatchObject({ problems: [problem] });
  });

  test("are found by looking at the disk, too", async () => {
    const files = { FILE: optional(readableFile, { about: "A file.", absent: "none" }) };
    await expect(readVariables(files, { FILE: "/nowhere/x" })).rejects.toMatchObject({
      problems: ['FILE is "/nowhere/x": it must be the path of a file that can be read'],
    });
  });
});

describe("the variables are described", () => {
  test("as a Markdown table", () => {
    expect(variablesAsMarkdown(variables)).toBe(
      [
        "| Variable | Value | Default | Meaning |",
        "|---|---|---|---|",
        "| `PORT` | a whole number from 0 to 65535 | `62050` | Where it listens. |",
        "| `LINES` | a whole number of at least 1 | all | How many. |",
        "| `TOKEN` | visible ASCII characters without blanks | none | Opens the door. |",
      ].join("\n"),
    );
  });

  test("as text for a terminal", () => {
    expect(variablesAsText({ PORT: variables.PORT })).toBe(
      "  PORT\n      Where it listens.\n      Value: a whole number from 0 to 65535. Default: 62050.",
    );
  });
});
