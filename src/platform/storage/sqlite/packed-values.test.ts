import fc from "fast-check";
import { expect, test } from "vitest";
import { pack, unpack } from "./packed-values.ts";

const all = (values: readonly unknown[]) => unpack(pack(values)).slice(0, values.length);

test("integers come out as bigint, to the last bit and beyond 64, and all else as it went in", () => {
  const integer = fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 64n), max: 2n ** 64n }), fc.boolean());
  const other = fc.oneof(fc.string(), fc.constant(null), fc.constant(0.5), fc.uint8Array());
  fc.assert(
    fc.property(fc.array(fc.oneof(integer, other)), (values) => {
      const isInteger = (value: unknown) => typeof value === "bigint" || Number.isSafeInteger(value);
      expect(all(values)).toEqual(
        values.map((value) => (typeof value === "boolean" || isInteger(value) ? BigInt(value as never) : value)),
      );
    }),
  );
});

test("a part of them is what an array would give", () => {
  const values = [1n, "", 3n, "four", null];
  expect(unpack(pack(values)).slice(1, 4)).toEqual(values.slice(1, 4));
});
