import { ProtocolBroken } from "./frames.ts";
import { decodeHuffman } from "./huffman.ts";

/**
 * The header of a gRPC request, as a header block (RFC 7541) that leaves no trace in the other end's table: it may be
 * sent again and again.
 */
export function requestHeader(path: string): Buffer {
  return Buffer.concat([
    Buffer.of(0x80 | staticIndex.methodPost, 0x80 | staticIndex.schemeHttp),
    literal(staticIndex.authority, "localhost"),
    literal(staticIndex.path, path),
    literal(staticIndex.contentType, "application/grpc"),
    Buffer.of(0),
    text("te"),
    text("trailers"),
  ]);
}

/** What is of interest in the header and the trailer of a gRPC answer. */
export interface AnswerFields {
  readonly status?: string;
  readonly grpcStatus?: string;
  readonly grpcMessage?: string;
}

/**
 * Reads a header block of an answer. The other end must have been told to keep no table (SETTINGS_HEADER_TABLE_SIZE 0), so
 * that every block stands for itself. Throws {@link ProtocolBroken}.
 */
export function readAnswerFields(block: Buffer): AnswerFields {
  // Nearly all blocks are one of two.
  const key = block.length <= longestKept ? block.toString("latin1") : undefined;
  const before = key === undefined ? undefined : kept.get(key);
  if (before !== undefined) return before;
  const fields = decode({ block, at: 0 });
  if (key !== undefined && kept.size < mostKept) kept.set(key, fields);
  return fields;
}

const longestKept = 64;
const mostKept = 16;
const kept = new Map<string, AnswerFields>();

// The entries of the static table (RFC 7541, appendix A) that occur.
const staticIndex = { authority: 1, methodPost: 3, path: 4, schemeHttp: 6, contentType: 31 } as const;
const staticStatus = new Map([
  [8, "200"],
  [9, "204"],
  [10, "206"],
  [11, "304"],
  [12, "400"],
  [13, "404"],
  [14, "500"],
]);
const staticEntries = 61;

const wanted: Record<string, keyof AnswerFields> = {
  ":status": "status",
  "grpc-status": "grpcStatus",
  "grpc-message": "grpcMessage",
};

interface Cursor {
  readonly block: Buffer;
  at: number;
}

function decode(cursor: Cursor): AnswerFields {
  const fields: Partial<Record<keyof AnswerFields, string>> = {};
  while (cursor.at < cursor.block.length) {
    const first = cursor.block[cursor.at] ?? 0;
    if ((first & 0x80) !== 0) {
      const index = readIndex(cursor, 7);
      if (index === 0) throw new ProtocolBroken("an entry without a number");
      const status = staticStatus.get(index);
      if (status !== undefined) fields.status = status;
    } else if ((first & 0xe0) === 0x20) {
      if (readInteger(cursor, 5) !== 0) throw new ProtocolBroken("a header table that is not wanted");
    } else {
      const index = readIndex(cursor, (first & 0x40) !== 0 ? 6 : 4);
      const name = index > 0 ? (staticStatus.has(index) ? ":status" : "") : readString(cursor);
      const value = readString(cursor);
      const field = Object.hasOwn(wanted, name) ? wanted[name] : undefined;
      if (field !== undefined) fields[field] = value;
    }
  }
  return fields;
}

function readIndex(cursor: Cursor, bits: number): number {
  const index = readInteger(cursor, bits);
  if (index > staticEntries) throw new ProtocolBroken("an entry of a header table that is empty");
  return index;
}

/** An integer whose first bits are the last ones of the next byte (RFC 7541 §5.1). */
function readInteger(cursor: Cursor, bits: number): number {
  const mask = 2 ** bits - 1;
  const start = nextByte(cursor) & mask;
  if (start < mask) return start;
  let value = mask;
  for (let factor = 1; factor <= 2 ** 21; factor *= 128) {
    const byte = nextByte(cursor);
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
  }
  throw new ProtocolBroken("a number that is too large");
}

function readString(cursor: Cursor): string {
  const isCompressed = ((cursor.block[cursor.at] ?? 0) & 0x80) !== 0;
  const length = readInteger(cursor, 7);
  const bytes = cursor.block.subarray(cursor.at, cursor.at + length);
  if (bytes.length < length) throw new ProtocolBroken("a header that is cut");
  cursor.at += length;
  return isCompressed ? decodeHuffman(bytes) : bytes.toString("latin1");
}

function nextByte(cursor: Cursor): number {
  const byte = cursor.block[cursor.at];
  if (byte === undefined) throw new ProtocolBroken("a header that is cut");
  cursor.at += 1;
  return byte;
}

/** A field with the name of a static entry, not to be indexed. */
function literal(nameIndex: number, value: string): Buffer {
  return Buffer.concat([integer(nameIndex, 4), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([integer(bytes.length, 7), bytes]);
}

function integer(value: number, bits: number): Buffer {
  const mask = 2 ** bits - 1;
  if (value < mask) return Buffer.of(value);
  const bytes = [mask];
  let rest = value - mask;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.of(...bytes, rest);
}
