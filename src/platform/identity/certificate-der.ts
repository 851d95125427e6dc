// The few pieces of DER (ITU-T X.690) that a certificate is made of.

/** The identifier octet of a type. */
export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The identifier octet of a context-specific type, `[number]`. */
export function contextTag(number: number, form: "primitive" | "constructed"): number {
  return (form === "primitive" ? 0x80 : 0xa0) | number;
}

/** A value of a type: its tag, its length, its content. */
export function der(type: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  return Buffer.concat([Buffer.from([type]), lengthOf(body.length), body]);
}

/** An object identifier, from its dotted form. */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return der(tag.objectIdentifier, ...[first * 40 + second, ...rest].map(base128));
}

/** A non-negative integer, from its big-endian bytes. */
export function unsignedInteger(bytes: Uint8Array): Buffer {
  const start = bytes.findIndex((byte) => byte !== 0);
  const shortest = start === -1 ? Buffer.of(0) : bytes.subarray(start);
  // The highest bit is the sign.
  const sign = (shortest[0] ?? 0) >= 0x80 ? Buffer.of(0) : Buffer.alloc(0);
  return der(tag.integer, sign, shortest);
}

/** A bit string whose last octet has `unusedBits` bits that do not count. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Buffer {
  return der(tag.bitString, Buffer.of(unusedBits), bytes);
}

/** A time of a certificate: two-digit years to the end of 2049 and four-digit ones from then on (RFC 5280 §4.1.2.5). */
export function time(date: Date): Buffer {
  const digits = `${date.toISOString().replace(/\.\d+Z$|[-:T]/g, "")}Z`;
  return date.getUTCFullYear() < 2050
    ? der(tag.utcTime, Buffer.from(digits.slice(2)))
    : der(tag.generalizedTime, Buffer.from(digits));
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.of(length);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff);
  return Buffer.of(0x80 | bytes.length, ...bytes);
}

function base128(value: number): Buffer {
  const bytes = [value & 0x7f];
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes.unshift(0x80 | (rest & 0x7f));
  return Buffer.from(bytes);
}
