import { IntegerOutOfRange } from "./errors.ts";

/**
 * What an integer of a database is in JavaScript: a number where it is exact, else an error, never a rounded number.
 * Columns that are named as int64 are always bigint, however small the value, so that code meets one type only.
 */
export function readInteger(value: number | bigint, column: string, int64: ReadonlySet<string>): number | bigint {
  if (int64.has(column)) {
    return BigInt(value);
  }
  if (typeof value === "number") {
    return value;
  }
  const exact = Number(value);
  if (!Number.isSafeInteger(exact)) {
    throw new IntegerOutOfRange(column);
  }
  return exact;
}
