import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseEnvFile, readEnv } from "./env-file.ts";

describe("the lines of an .env file", () => {
  test.each([
    ["a blank behind the equals sign", "A= 62050", { A: "62050" }],
    ["a blank and quotes, as the installer writes them", 'A= "grpc"', { A: "grpc" }],
    ["blanks everywhere", "  A \t=  x \t", { A: "x" }],
    ["nothing behind the equals sign", "A=\nB=1", { A: "", B: "1" }],
    ["a blank and nothing behind it: the next line is its own", "A= \nB=1", { A: "", B: "1" }],
    ["empty quotes", 'A=""\nB=1', { A: "", B: "1" }],
    ["an export", "export A=1", { A: "1" }],
    ["carriage returns", "A=1\r\nB=2\r\n", { A: "1", B: "2" }],
    ["a byte order mark", "\uFEFFA=1", { A: "1" }],
    ["comments on lines of their own", "# A=1\n  # B=2\nC=3", { C: "3" }],
    ["a comment behind a value", "A=x # y", { A: "x" }],
    ["nothing but a comment behind the equals sign", "A= # y", { A: "" }],
    ["a hash inside a value", "A=x#y", { A: "x#y" }],
    ["a hash inside quotes", "A='x # y' # z", { A: "x # y" }],
    ["an equals sign inside a value", "A=b=c==", { A: "b=c==" }],
    ["the other quote inside quotes", `A="it's"`, { A: "it's" }],
    ["quotes in the middle", 'A=say "hi"', { A: 'say "hi"' }],
    ["a quote that nothing ends", 'A="x\nB=2', { A: '"x', B: "2" }],
    ["no expansion", "A=$HOME\\n", { A: "$HOME\\n" }],
    ["a name twice", "A=1\nA=2", { A: "2" }],
    ["lines that say nothing", "just words\n=x\n1A=2\n\nA=1", { A: "1" }],
    ["names that every object has", "constructor=x\ntoString=y", { constructor: "x", toString: "y" }],
  ])("%s", (_, text, expected) => {
    expect(parseEnvFile(text)).toEqual(expected);
  });
});

describe("the environment", () => {
  let directory = "";
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "garrison-env-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  test("is taken as it is where there is no file", async () => {
    expect(await readEnv(directory, { A: "1", B: undefined })).toEqual({ A: "1" });
  });

  test("wins over the file, even with an empty value", async () => {
    await writeFile(join(directory, ".env"), "A=file\nB=file\nC=file\n");
    expect(await readEnv(directory, { A: "real", B: "", C: undefined })).toEqual({ A: "real", B: "", C: "file" });
  });

  test.each([
    ["  62050 ", "62050"],
    [' "grpc"', "grpc"],
    ["'x'", "x"],
    ['"', '"'],
    [`"it's`, `"it's`],
  ])("frees the value %j of blanks and quotes", async (real, expected) => {
    expect(await readEnv(directory, { A: real })).toEqual({ A: expected });
  });

  test("is not read at all when the file cannot be", async () => {
    await mkdir(join(directory, ".env"));
    await expect(readEnv(directory, {})).rejects.toThrow(`${join(directory, ".env")} cannot be read: EISDIR`);
  });
});
