import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  address,
  baseUrl,
  executableFile,
  oneOf,
  onOff,
  origins,
  path,
  port,
  readableFile,
  token,
  url,
  wholeNumber,
} from "./value-types.ts";
import type { ValueType } from "./variables.ts";

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-types-"));
  await writeFile(join(directory, "text"), "");
  await writeFile(join(directory, "program"), "");
  await chmod(join(directory, "program"), 0o755);
});
afterAll(() => rm(directory, { recursive: true }));

const right: [string, string, ValueType<unknown>, unknown][] = [
  ["port", "62050", port, 62050],
  ["port", "0", port, 0],
  ["port", "65535", port, 65535],
  ["port", "+80", port, 80],
  ["whole number", "-5", wholeNumber(-5), -5],
  ["switch", "on", onOff, true],
  ["switch", "OFF", onOff, false],
  ["switch", "1", onOff, true],
  ["switch", "0", onOff, false],
  ["switch", "True", onOff, true],
  ["switch", "no", onOff, false],
  ["word", "b", oneOf("a", "b"), "b"],
  ["address", "0.0.0.0", address, "0.0.0.0"],
  ["address", "::", address, "::"],
  ["address", "[::1]", address, "::1"],
  ["path", "/a/../b", path, "/b"],
  ["path", "x", path, join(process.cwd(), "x")],
  ["token", "s3cret!", token, "s3cret!"],
  ["origins", "https://a.example", origins, ["https://a.example"]],
  ["origins", " https://A.example:443/ , http://b:8080,", origins, ["https://a.example", "http://b:8080"]],
  ["url", "http://a/b/", url("https", "http"), "http://a/b/"],
  ["baseUrl", "http://a/b//", baseUrl("https", "http"), "http://a/b"],
  ["baseUrl", "http://a/b", baseUrl("http"), "http://a/b"],
];

test.each(right)("%s accepts %j", async (_, text, type, expected) => {
  expect(await type.safeParseAsync(text)).toEqual({ success: true, data: expected });
});

const wrong: [string, string, ValueType<unknown>][] = [
  ["port", "65536", port],
  ["port", "-1", port],
  ["port", "80.5", port],
  ["port", "0x50", port],
  ["port", "1e3", port],
  ["port", "62050 ", port],
  ["whole number", "99999999999999999999", wholeNumber(0)],
  ["switch", "maybe", onOff],
  ["word", "c", oneOf("a", "b")],
  ["address", "localhost", address],
  ["address", "1.2.3", address],
  ["address", "1.2.3.4:80", address],
  ["address", "[1.2.3.4", address],
  ["path", "~/data", path],
  ["token", "a b", token],
  ["token", "a\nb", token],
  ["token", "ä", token],
  ["origins", "*", origins],
  ["origins", "a.example", origins],
  ["origins", "https://a.example/panel", origins],
  ["origins", "https://a.example?x", origins],
  ["origins", "https://u@a.example", origins],
  ["origins", "file:///x", origins],
  ["origins", "https://a.example,nonsense", origins],
  ["url", "http://a", url("https")],
  ["url", "https//a", url("https")],
  ["baseUrl", "http://a", baseUrl("https")],
  ["baseUrl", "https://a/b?c", baseUrl("https")],
  ["baseUrl", "https://a/b#", baseUrl("https")],
];

test.each(wrong)("%s refuses %j", async (_, text, type) => {
  expect((await type.safeParseAsync(text)).success).toBe(false);
  expect(type.description).toMatch(/\w/);
});

test("files are looked at: a readable one, an executable one", async () => {
  const at = (name: string) => join(directory, name);
  const accepted = async (type: ValueType<string>, file: string) => (await type.safeParseAsync(file)).success;
  expect(await accepted(readableFile, at("text"))).toBe(true);
  expect(await accepted(readableFile, at("absent"))).toBe(false);
  expect(await accepted(readableFile, directory)).toBe(false);
  expect(await accepted(executableFile, at("program"))).toBe(true);
  expect(await accepted(executableFile, at("text"))).toBe(false);
  expect(await accepted(executableFile, directory)).toBe(false);
});
