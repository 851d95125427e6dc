import type { BulkValues } from "./bulk-parts.ts";

/**
 * The values of a bulk statement on their way to another thread. Nearly all are integers, which are moved there: to copy
 * them one by one costs more than to write some rows.
 */
export interface PackedValues {
  /** Integers; of a value that is no integer its place in `others`. */
  readonly integers: BigInt64Array<ArrayBuffer>;
  /** What each value is: 0 an integer, 1 an empty text, 2 anything else. */
  readonly kinds: Uint8Array<ArrayBuffer>;
  readonly others: readonly unknown[];
}

/** Packs values. */
export function pack(values: readonly unknown[]): PackedValues {
  const integers = new BigInt64Array(values.length);
  // Writes a number without making a bigint of it.
  const halves = new Int32Array(integers.buffer);
  const kinds = new Uint8Array(values.length);
  const others: unknown[] = [];
  for (let at = 0; at < values.length; at += 1) {
    const value = values[at];
    if (typeof value === "number" && Number.isSafeInteger(value)) {
      halves[2 * at + lowHalf] = value;
      halves[2 * at + 1 - lowHalf] = Math.floor(value / 2 ** 32);
    } else if (typeof value === "bigint" && value <= highest && value >= lowest) {
      integers[at] = value;
    } else if (typeof value === "boolean") {
      halves[2 * at + lowHalf] = value ? 1 : 0;
    } else if (value === "") {
      kinds[at] = emptyText;
    } else {
      kinds[at] = other;
      halves[2 * at + lowHalf] = others.push(value) - 1;
    }
  }
  return { integers, kinds, others };
}

/** What {@link pack} was given, all integers as bigint. */
export function unpack({ integers, kinds, others }: PackedValues): BulkValues {
  const valueAt = (at: number) => {
    if (kinds[at] === integer) return integers[at];
    return kinds[at] === emptyText ? "" : others[Number(integers[at])];
  };
  return {
    length: integers.length,
    slice(from, to) {
      const values: unknown[] = [];
      for (let at = from; at < to; at += 1) values.push(valueAt(at));
      return values;
    },
  };
}

const integer = 0;
const emptyText = 1;
const other = 2;

// What is beyond 64 bits is for SQLite to refuse.
const highest = 2n ** 63n - 1n;
const lowest = -(2n ** 63n);
/** Which half of an integer comes first is the machine's matter. */
const lowHalf = new Int32Array(new BigInt64Array([1n]).buffer)[0] === 1 ? 0 : 1;
