import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteNames } from "./byte-names.ts";

test("the same bytes have the same number, others have others, however many there are", () => {
  const names = fc.array(fc.oneof(fc.stringMatching(/^[ab]{0,9}$/), fc.string({ maxLength: 30 })), {
    maxLength: 3_000,
  });
  fc.assert(
    fc.property(names, (texts) => {
      const parts = texts.map((text) => Buffer.from(text));
      const known = new Map<string, number>();
      const names = new ByteNames();
      const all = Buffer.concat(parts);
      let start = 0;
      for (const part of parts) {
        const text = part.toString("latin1");
        const expected = known.get(text) ?? known.size;
        known.set(text, expected);
        expect(names.numberOf(all, start, start + part.length)).toBe(expected);
        start += part.length;
      }
      // Others are seen next time, and what was numbered does not change with what it was read from.
      all.fill(0);
      for (const part of parts) expect(names.numberOf(part, 0, part.length)).toBe(known.get(part.toString("latin1")));
      expect(names.count).toBe(known.size);
    }),
    { numRuns: 30 },
  );
});
