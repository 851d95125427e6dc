import fc from "fast-check";
import { expect, test } from "vitest";
import { createEndpointNames } from "./endpoint-names.ts";

test.each<[string[], string[]]>([
  [
    ["Frankfurt", "Frankfurt", "frankfurt", "Frankfurt 2"],
    ["Frankfurt", "Frankfurt 2", "frankfurt 3", "Frankfurt 2 2"],
  ],
  [
    ["Proxy", "fastest", "DIRECT", "Reject", "GLOBAL"],
    ["Proxy 2", "fastest 2", "DIRECT 2", "Reject 2", "GLOBAL 2"],
  ],
  [
    ["", " \n\t ", "\u0000"],
    ["?", "? 2", "? 3"],
  ],
  [[" a\r\nb\u2028c\u0085d  e\ufeff "], ["a b c d e"]],
  [['🇩🇪 "it\'s" <b> & # : % 👩‍👩‍👧'], ['🇩🇪 "it\'s" <b> & # : % 👩‍👩‍👧']],
  [["half \ud83d"], ["half \ufffd"]],
])("%j become %j", (wanted, names) => {
  expect(wanted.map(createEndpointNames())).toEqual(names);
});

test("thousands who want one name cost no more than others", { timeout: 5_000 }, () => {
  const nameOf = createEndpointNames();
  const names = Array.from({ length: 50_000 }, () => nameOf("Same"));
  expect(names.at(-1)).toBe("Same 50000");
  expect(new Set(names).size).toBe(names.length);
});

test("whatever is wanted, names fit in a line and are unlike each other in any case", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary", maxLength: 4 }), { maxLength: 30 }), (wanted) => {
      const names = wanted.map(createEndpointNames());
      expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(wanted.length);
      for (const name of names) {
        expect(name).toMatch(/^\P{Cc}+$/u);
        expect(name).toBe(name.trim());
        expect(name.isWellFormed()).toBe(true);
      }
    }),
  );
});
