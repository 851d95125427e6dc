import fc from "fast-check";
import { expect, test } from "vitest";
import { elementsOf } from "./json-spans.ts";
import { unlikePart } from "./unlike-part.ts";

const entry = (n: number) => `{"email":"${n}","text":"}, {\\"email\\""}`;
const array = (numbers: readonly number[]) => `[${numbers.map(entry).join(",")}]`;

test.each([
  [[], [], [], []],
  [[1, 2, 3], [1, 2, 3], [3], [3]],
  [[1, 2, 3], [1, 2, 3, 4], [3], [3, 4]],
  [[1, 3], [1, 2, 3], [3], [2, 3]],
  [[1, 2, 3, 4, 5], [1, 2, 4, 5], [3, 4], [4]],
  [[1], [], [1], []],
])("of %j and %j there remain %j and %j", (before, after, fewer, others) => {
  expect(unlikePart(array(before), array(after), '{"')).toEqual([array(fewer), array(others)]);
});

test("what is left out is the same in both, and little is left of much that differs in one place", () => {
  const numbers = fc.uniqueArray(fc.integer({ min: 0, max: 40 })).map((some) => some.sort((a, b) => a - b));
  fc.assert(
    fc.property(numbers, numbers, (one, other) => {
      const [before, after] = unlikePart(array(one), array(other), '{"').map(elementsOf);
      const gone = (all: readonly number[], left: readonly string[] = []) =>
        all.map(entry).filter((text) => !left.includes(text));
      expect(gone(one, before)).toEqual(gone(other, after));
    }),
  );
});
