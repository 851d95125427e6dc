import { ProtocolBroken } from "./frames.ts";

/** Reads a string that is compressed as RFC 7541 §5.2 has it. Throws {@link ProtocolBroken} for one that cannot be. */
export function decodeHuffman(bytes: Uint8Array): string {
  const codes: number[] = [];
  let code = 0;
  let length = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit -= 1) {
      code = code * 2 + ((byte >> bit) & 1);
      length += 1;
      const symbol = symbolOf(code, length);
      if (symbol === undefined) continue;
      codes.push(symbol);
      code = 0;
      length = 0;
    }
  }
  // What fills the last byte are ones, fewer than eight.
  if (length > 7 || code !== 2 ** length - 1) throw new ProtocolBroken("a malformed compressed string");
  return Buffer.from(codes).toString("latin1");
}

function symbolOf(code: number, length: number): number | undefined {
  if (length > longest) throw new ProtocolBroken("a malformed compressed string");
  const group = groups[length];
  return group?.symbols[code - group.first];
}

/** The codes of one length: they follow one another. */
interface Group {
  readonly first: number;
  readonly symbols: readonly number[];
}

const longest = 30;

// RFC 7541, appendix B: how many bits each symbol takes. Its code is canonical, so that the lengths tell all of it: shorter
// codes come first, and among those of one length smaller symbols.
// biome-ignore format: a table of sixteen columns
const lengths = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const groups = makeGroups();

function makeGroups(): readonly (Group | undefined)[] {
  const made: (Group | undefined)[] = [];
  let next = 0;
  for (let length = 1; length <= longest; length += 1) {
    const symbols = lengths.flatMap((each, symbol) => (each === length ? [symbol] : []));
    next *= 2;
    made[length] = symbols.length === 0 ? undefined : { first: next, symbols };
    next += symbols.length;
  }
  return made;
}
