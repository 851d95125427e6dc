import { once } from "node:events";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { readLines } from "./lines.ts";

async function linesOf(...chunks: (string | Buffer)[]): Promise<string[]> {
  const stream = Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
  const lines: string[] = [];
  readLines(stream, (line) => lines.push(line));
  await once(stream, "end");
  return lines;
}

const euro = Buffer.from("€");

test.each([
  ["lines in one piece", ["a\nb\n"], ["a", "b"]],
  ["a line in several pieces", ["a", "b", "c\nd\n"], ["abc", "d"]],
  ["an empty line", ["a\n\nb\n"], ["a", "", "b"]],
  ["line ends of Windows", ["a\r", "\nb\r\n"], ["a", "b"]],
  ["a last line without an end", ["a\nb"], ["a", "b"]],
  ["a character cut in two", [euro.subarray(0, 1), euro.subarray(1), "\n"], ["€"]],
])("reads %s", async (_what, chunks, lines) => {
  expect(await linesOf(...chunks)).toEqual(lines);
});

test("hands a line of any length on in pieces", async () => {
  const lines = await linesOf(...Array.from({ length: 48 }, () => "x".repeat(65_536)), "\nend\n");
  expect(lines.at(-1)).toBe("end");
  expect(lines.slice(0, -1).join("")).toBe("x".repeat(48 * 65_536));
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(2 * 65_536);
});
