import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createLineSplitter } from "./line-splitter.ts";

function linesOf(chunks: readonly (string | Uint8Array)[], maxBytes?: number): string[] {
  const lines: string[] = [];
  const splitter = createLineSplitter((line) => lines.push(line), maxBytes);
  const reused = new Uint8Array(1 << 20);
  for (const chunk of chunks) {
    // As a pipe may do it: every chunk in the same memory.
    const bytes = Buffer.from(chunk);
    reused.set(bytes);
    splitter.push(reused.subarray(0, bytes.length));
    reused.fill(0x21, 0, bytes.length);
  }
  splitter.end();
  return lines;
}

describe("lines", () => {
  const euro = Buffer.from("€");
  test.each([
    { what: "nothing", chunks: [], lines: [] },
    { what: "an empty chunk", chunks: [""], lines: [] },
    { what: "two lines in one chunk", chunks: ["a\nb\n"], lines: ["a", "b"] },
    { what: "a line in several chunks", chunks: ["a", "b", "c\nd", "\n"], lines: ["abc", "d"] },
    { what: "an empty line", chunks: ["a\n\n", "\nb\n"], lines: ["a", "", "", "b"] },
    { what: "a last line without an end", chunks: ["a\nb"], lines: ["a", "b"] },
    { what: "CRLF, cut in two as well", chunks: ["a\r\nb\r", "\nc\r\n"], lines: ["a", "b", "c"] },
    { what: "CR elsewhere, which stays", chunks: ["a\rb\r\r\n"], lines: ["a\rb\r"] },
    {
      what: "a character cut in three",
      chunks: [euro.subarray(0, 1), euro.subarray(1, 2), euro.subarray(2), "\n"],
      lines: ["€"],
    },
    { what: "invalid UTF-8", chunks: [new Uint8Array([0x61, 0xff, 0x62, 0x0a])], lines: ["a\ufffdb"] },
    { what: "half a character at the end", chunks: ["a", euro.subarray(0, 2)], lines: ["a\ufffd"] },
  ])("of $what", ({ chunks, lines }) => {
    expect(linesOf(chunks)).toEqual(lines);
  });

  const note = (bytes: number) => ` [garrison] ${bytes} bytes of this line were cut off`;
  test.each([
    { what: "as long as allowed", chunks: ["12345678\nx\n"], lines: ["12345678", "x"] },
    { what: "as long as allowed, with CRLF", chunks: ["12345678\r\nx\r\n"], lines: ["12345678", "x"] },
    { what: "a byte longer", chunks: ["123456789\nx\n"], lines: [`12345678${note(1)}`, "x"] },
    {
      what: "longer in many chunks",
      chunks: ["1234", "5678", "9", "", "0abc", "\nx\n"],
      lines: [`12345678${note(5)}`, "x"],
    },
    { what: "longer without an end", chunks: ["1234567890"], lines: [`12345678${note(2)}`] },
    { what: "cut within a character", chunks: ["1234567€\nx\n"], lines: [`1234567${note(3)}`, "x"] },
  ])("that are $what", ({ chunks, lines }) => {
    expect(linesOf(chunks, 8)).toEqual(lines);
  });

  test("are the same however the bytes are cut into chunks", () => {
    const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => array.map((byte) => (byte % 5 === 0 ? 0x0a : byte)));
    fc.assert(
      fc.property(bytes, fc.array(fc.nat(20)), fc.integer({ min: 4, max: 40 }), (all, sizes, maxBytes) => {
        const chunks: Uint8Array[] = [];
        let from = 0;
        for (const size of sizes) {
          chunks.push(all.subarray(from, from + size));
          from = Math.min(from + size, all.length);
        }
        chunks.push(all.subarray(from));
        expect(linesOf(chunks, maxBytes)).toEqual(linesOf([all], maxBytes));
      }),
    );
  });

  test("of hundreds of megabytes do not fill the memory", () => {
    const lines: string[] = [];
    const splitter = createLineSplitter((line) => lines.push(line));
    const chunk = new Uint8Array(1 << 20).fill(0x78);
    const before = process.memoryUsage().arrayBuffers;
    for (let sent = 0; sent < 300; sent++) splitter.push(chunk);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 << 20);
    splitter.end();
    expect(lines).toEqual([`${"x".repeat(64 << 10)}${note(300 * (1 << 20) - (64 << 10))}`]);
  });
});
