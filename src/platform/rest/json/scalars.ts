import { ScalarType } from "@bufbuild/protobuf";
import { JsonFault, short } from "./json-fault.ts";

/**
 * The value of an integer field, exactly, from a number as it is written: `12`, `-3`, `1e3`, `2.0`. Bigint for the
 * 64-bit types. Throws {@link JsonFault} for what is no integer or out of range.
 */
export function integerFrom(source: string, type: ScalarType): number | bigint {
  if (shortInteger.test(source)) return integerOf(Number(source), type);
  const range = rangeOf(type);
  const value = bigFrom(source, range);
  if (value < range.min || value > range.max) throw outOfRange(source, range);
  return range.is64 ? value : Number(value);
}

/** The value of an integer field from an integer of at most 15 digits. */
export function integerOf(value: number, type: ScalarType): number | bigint {
  const range = rangeOf(type);
  // Numbers against numbers: comparing with a bigint costs more than all the rest.
  if (value < range.low || value > range.high) throw outOfRange(`${value}`, range);
  return range.is64 ? BigInt(value) : value === 0 ? 0 : value;
}

/** The value of a `double` or `float` field from a number as it is written, or `NaN`, `Infinity`, `-Infinity`. */
export function floatFrom(source: string, type: ScalarType): number {
  const special = specialFloats.get(source);
  if (special !== undefined) return special;
  if (!jsonNumber.test(source)) throw new JsonFault(`expected a number, got ${quoted(source)}`);
  const value = type === ScalarType.FLOAT ? Math.fround(Number(source)) : Number(source);
  if (!Number.isFinite(value)) throw new JsonFault(`${short(source)} is out of range`);
  return value;
}

/** A text in quotes for an error, cut where it is long. */
export function quoted(text: string): string {
  return JSON.stringify(short(text));
}

interface Range {
  readonly min: bigint;
  readonly max: bigint;
  /** As numbers, which for 64 bits are near enough to judge short integers by. */
  readonly low: number;
  readonly high: number;
  readonly is64: boolean;
}

const int32 = range(-(2n ** 31n), 2n ** 31n - 1n);
const uint32 = range(0n, 2n ** 32n - 1n);
const int64 = range(-(2n ** 63n), 2n ** 63n - 1n);
const uint64 = range(0n, 2n ** 64n - 1n);

function range(min: bigint, max: bigint): Range {
  return { min, max, low: Number(min), high: Number(max), is64: max > 2n ** 32n };
}

function rangeOf(type: ScalarType): Range {
  switch (type) {
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return uint32;
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return int64;
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return uint64;
    default:
      return int32;
  }
}

const shortInteger = /^-?(?:0|[1-9]\d{0,14})$/;
const jsonNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const numberParts = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;
const specialFloats = new Map([
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
]);
// 2^64 has 20 digits.
const digitsOfUint64 = 20;

function bigFrom(source: string, range: Range): bigint {
  const parts = numberParts.exec(source);
  if (parts === null) throw new JsonFault(`expected an integer, got ${quoted(source)}`);
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = parts;
  const digits = (whole + fraction).replace(/^0+/, "");
  const significant = withoutEndingZeros(digits);
  if (significant === "") return 0n;
  // Places that the significant digits are shifted to the left; negative: something is left behind the point.
  const shift = Number(exponent) - fraction.length + (digits.length - significant.length);
  if (shift < 0) throw new JsonFault(`expected an integer, got ${short(source)}`);
  if (significant.length + shift > digitsOfUint64) throw outOfRange(source, range);
  return BigInt(`${sign}${significant}${"0".repeat(shift)}`);
}

// An expression for the zeros at the end would try every zero anew: seconds for a number of 64 KiB.
function withoutEndingZeros(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === "0") end -= 1;
  return digits.slice(0, end);
}

function outOfRange(source: string, { min, max }: Range): JsonFault {
  return new JsonFault(`${short(source)} is not between ${min} and ${max}`);
}
