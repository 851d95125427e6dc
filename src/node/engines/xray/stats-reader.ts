import { EngineUnreachable } from "../engine-error.ts";
import type { ByteNames } from "./byte-names.ts";

/**
 * Goes through an answer of QueryStats counter by counter, without making a message of each: there may be two for every
 * user.
 */
export class StatsReader {
  readonly #bytes: Buffer;
  #at = 0;
  #nameStart = 0;
  #nameEnd = 0;
  #value = 0n;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Goes on to the next counter; false: there is none. Throws {@link EngineUnreachable} for what is no answer. */
  next(): boolean {
    while (this.#at < this.#bytes.length) {
      const tag = this.#varint();
      if (tag !== tagOfStat) {
        this.#skip(tag);
        continue;
      }
      const length = this.#varint();
      const end = this.#at + length;
      if (end > this.#bytes.length) throw malformed();
      this.#readStat(end);
      return true;
    }
    return false;
  }

  /** Bytes that were counted. */
  get value(): bigint {
    return this.#value;
  }

  /** Whether the name ends with this ASCII text, behind at least one byte. */
  nameEndsWith(text: string): boolean {
    const start = this.#nameEnd - text.length;
    if (start <= this.#nameStart) return false;
    for (let index = text.length - 1; index >= 0; index -= 1)
      if (this.#bytes[start + index] !== text.charCodeAt(index)) return false;
    return true;
  }

  /** The number among `names` of the name without so many bytes at its end. */
  numberWithout(end: number, names: ByteNames): number {
    return names.numberOf(this.#bytes, this.#nameStart, this.#nameEnd - end);
  }

  /** Whether the name begins with this ASCII text. */
  nameStartsWith(text: string): boolean {
    if (this.#nameEnd - this.#nameStart < text.length) return false;
    for (let index = 0; index < text.length; index += 1)
      if (this.#bytes[this.#nameStart + index] !== text.charCodeAt(index)) return false;
    return true;
  }

  /** The name without so many bytes at its beginning and at its end. */
  nameWithout(begin: number, end: number): string {
    return this.#bytes.toString("utf8", this.#nameStart + begin, this.#nameEnd - end);
  }

  #readStat(end: number): void {
    this.#nameStart = end;
    this.#nameEnd = end;
    this.#value = 0n;
    while (this.#at < end) {
      const tag = this.#varint();
      if (tag === tagOfName) {
        const length = this.#varint();
        this.#nameStart = this.#at;
        this.#at += length;
        this.#nameEnd = this.#at;
      } else if (tag === tagOfValue) {
        this.#value = this.#int64();
      } else {
        this.#skip(tag);
      }
    }
    if (this.#at !== end) throw malformed();
  }

  #varint(): number {
    let value = 0;
    for (let factor = 1; factor <= largestFactor; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw malformed();
  }

  #int64(): bigint {
    const start = this.#at;
    let value = 0;
    for (let factor = 1; factor <= largestFactor; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return BigInt(value);
    }
    this.#at = start;
    let large = 0n;
    for (let shift = 0n; shift < 64n + 7n; shift += 7n) {
      const byte = this.#byte();
      large |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, large);
    }
    throw malformed();
  }

  /** Skips a field that nobody knows here. */
  #skip(tag: number): void {
    const wire = tag % 8;
    if (wire === 0) this.#int64();
    else if (wire === 1) this.#at += 8;
    else if (wire === 2) {
      const length = this.#varint();
      this.#at += length;
    } else if (wire === 5) this.#at += 4;
    else throw malformed();
    if (this.#at > this.#bytes.length) throw malformed();
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw malformed();
    this.#at += 1;
    return byte;
  }
}

const tagOfStat = (1 << 3) | 2;
const tagOfName = (1 << 3) | 2;
const tagOfValue = 2 << 3;
/** Seven bytes of a varint are 49 bits, which a number holds. */
const largestFactor = 128 ** 6;

function malformed(): EngineUnreachable {
  return new EngineUnreachable("xray answered with a malformed message");
}
