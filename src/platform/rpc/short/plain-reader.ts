import { type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import { createMessageMaker } from "../../message-maker.ts";

/**
 * Reads a message from part of a buffer. Undefined when it holds anything that is unusual, unknown or malformed: then
 * `fromBinary` has to judge it.
 */
export type PlainReader = (buffer: Buffer, start: number, end: number) => Message | undefined;

/**
 * Compiles a reader for messages as clients usually send them, at about twice the speed of `fromBinary`: whole tags are
 * looked up, and strings are taken from the buffer without a decoder. Usual are strings, bytes, booleans, small integers,
 * enums, messages, and lists of strings or messages, in fields up to number 15 and outside of oneofs. Inner messages that
 * are empty are frozen, since they share their memory: there are five of them in every user that panels send.
 */
export function createPlainReader(desc: DescMessage): PlainReader {
  const read = compile(desc, new Map());
  return (buffer, start, end) => {
    const cursor: Cursor = { buffer, at: start, depth: 0 };
    return read(cursor, end);
  };
}

/**
 * Compiles a reader of single fields: it reads the one at the cursor into a message, as far as `end` at the most. False:
 * it is not plain, and was not read.
 */
export function createPlainFieldReader(desc: DescMessage): (message: Message, cursor: Cursor, end: number) => boolean {
  const fields = fieldsOf(desc, new Map());
  return (message, cursor, end) => {
    const start = cursor.at;
    cursor.depth = 1;
    if (readField(fields, message as Fields, cursor, end)) return true; // by local name
    cursor.at = start;
    return false;
  };
}

/** Where a reader is. */
export interface Cursor {
  readonly buffer: Buffer;
  at: number;
  depth: number;
}

type Fields = Message & Record<string, unknown>;
/** Reads up to `end`. Undefined: it is not plain. */
type MessageReader = (cursor: Cursor, end: number) => Fields | undefined;
/** Reads a value that must not reach beyond `end`. Undefined: it is not plain. */
type ValueReader = (cursor: Cursor, end: number) => unknown;
interface FieldReader {
  readonly name: string;
  readonly read: ValueReader;
  /** Values are collected in a list; otherwise the last one counts, of messages the only one. */
  readonly isList: boolean;
  readonly isMessage: boolean;
}

// `fromBinary` allows 100 levels.
const depthMax = 50;
const wireVarint = 0;
const wireDelimited = 2;

function compile(desc: DescMessage, known: Map<DescMessage, MessageReader>): MessageReader {
  const before = known.get(desc);
  if (before !== undefined) return before;
  let fields: readonly (FieldReader | undefined)[] = [];
  const make = createMessageMaker(desc);
  const read: MessageReader = (cursor, end) => {
    cursor.depth += 1;
    if (make === undefined || cursor.depth > depthMax) return undefined;
    const message = make();
    while (cursor.at < end) if (!readField(fields, message, cursor, end)) return undefined;
    cursor.depth -= 1;
    return cursor.at === end ? message : undefined;
  };
  // Before the fields, since messages may hold their own kind.
  known.set(desc, read);
  fields = fieldsOf(desc, known);
  return read;
}

/** The readers of a message's plain fields, by the tag that precedes them. */
function fieldsOf(desc: DescMessage, known: Map<DescMessage, MessageReader>): readonly (FieldReader | undefined)[] {
  const fields: FieldReader[] = [];
  for (const field of desc.fields) {
    const value = compileValue(field, known);
    if (value === undefined || field.number > 15 || field.oneof !== undefined) continue;
    fields[(field.number << 3) | value.wire] = {
      name: field.localName,
      read: value.read,
      isList: field.fieldKind === "list",
      isMessage: field.message !== undefined,
    };
  }
  return fields;
}

/** Reads the field at the cursor. False: it is not plain. */
function readField(
  fields: readonly (FieldReader | undefined)[],
  message: Fields,
  cursor: Cursor,
  end: number,
): boolean {
  const field = fields[cursor.buffer[cursor.at] ?? 0];
  if (field === undefined) return false;
  cursor.at += 1;
  const value = field.read(cursor, end);
  if (value === undefined) return false;
  if (field.isList)
    (message[field.name] as unknown[]).push(value); // such a field holds a list
  // A message that comes twice is merged.
  else if (field.isMessage && message[field.name] !== undefined) return false;
  else message[field.name] = value;
  return true;
}

interface CompiledValue {
  readonly wire: number;
  readonly read: ValueReader;
}

function compileValue(field: DescField, known: Map<DescMessage, MessageReader>): CompiledValue | undefined {
  if (field.fieldKind === "map") return undefined;
  // Of packed lists only those are plain that cannot be packed.
  if (field.fieldKind === "list" && field.listKind === "enum") return undefined;
  if (field.enum !== undefined) return field.enum.open ? { wire: wireVarint, read: readInt32 } : undefined;
  if (field.message !== undefined) {
    // The well-known ones have shapes of their own.
    if (field.delimitedEncoding || field.message.typeName.startsWith("google.protobuf.")) return undefined;
    return { wire: wireDelimited, read: createMessageReader(field.message, known) };
  }
  const scalar = scalars[field.scalar];
  if (field.fieldKind === "list") {
    if (field.scalar === ScalarType.STRING) return { wire: wireDelimited, read: createSharedStringReader() };
    return scalar?.wire === wireDelimited ? scalar : undefined;
  }
  return field.longAsString ? undefined : scalar;
}

const scalars: Partial<Record<ScalarType, CompiledValue>> = {
  [ScalarType.STRING]: { wire: wireDelimited, read: (cursor, end) => readDelimited(cursor, end, readString) },
  [ScalarType.BYTES]: { wire: wireDelimited, read: (cursor, end) => readDelimited(cursor, end, readBytes) },
  [ScalarType.BOOL]: { wire: wireVarint, read: readBool },
  [ScalarType.INT32]: { wire: wireVarint, read: readInt32 },
  [ScalarType.UINT32]: { wire: wireVarint, read: readUint32 },
  [ScalarType.INT64]: { wire: wireVarint, read: readInt64 },
  [ScalarType.UINT64]: { wire: wireVarint, read: readInt64 },
};

function readDelimited<T>(cursor: Cursor, end: number, read: (cursor: Cursor, end: number) => T): T | undefined {
  const length = readVarint(cursor, end);
  if (length === undefined || cursor.at + length > end) return undefined;
  return read(cursor, cursor.at + length);
}

// Up to it, building a string of its codes is faster than a call into the buffer.
const shortString = 24;

function readString(cursor: Cursor, end: number): string | undefined {
  const { buffer, at } = cursor;
  cursor.at = end;
  if (end - at <= shortString) {
    const codes = asciiCodes(buffer, at, end);
    if (codes !== undefined) return String.fromCharCode.apply(undefined, codes);
  }
  const text = buffer.toString("utf8", at, end);
  return text.includes("\ufffd") ? undefined : text; // put where bytes were invalid, or sent as such
}

/** Reads a message that is part of another one. All that are empty are one, which nobody can change. */
function createMessageReader(desc: DescMessage, known: Map<DescMessage, MessageReader>): ValueReader {
  const read = compile(desc, known);
  const empty = emptyOf(desc);
  return (cursor, end) => {
    const isEmpty = empty !== undefined && cursor.at < end && cursor.buffer[cursor.at] === 0;
    if (!isEmpty) return readDelimited(cursor, end, read);
    cursor.at += 1;
    return empty;
  };
}

function emptyOf(desc: DescMessage): Fields | undefined {
  const empty = createMessageMaker(desc)?.();
  for (const value of Object.values(empty ?? {})) Object.freeze(value);
  return empty && Object.freeze(empty);
}

// Strings that a reader of lists remembers, and how long they are at the most.
const sharedMax = 256;
const sharedMaxLength = 64;

/**
 * Reads strings of which the same occur again and again, as tags do in the lists of many users: they are made once, and
 * take the memory of one.
 */
function createSharedStringReader(): ValueReader {
  const shared = new Array<string>(sharedMax).fill("");
  const read = (cursor: Cursor, end: number): string | undefined => {
    const { buffer, at } = cursor;
    const length = end - at;
    if (length === 0 || length > sharedMaxLength) return readString(cursor, end);
    const middle = buffer[at + (length >> 1)] ?? 0;
    const slot = (length * 31 + (buffer[at] ?? 0) * 7 + middle * 13 + (buffer[end - 1] ?? 0)) % sharedMax;
    const known = shared[slot] ?? "";
    if (isSame(known, buffer, at, end)) {
      cursor.at = end;
      return known;
    }
    const text = readString(cursor, end);
    if (text !== undefined) shared[slot] = text;
    return text;
  };
  return (cursor, end) => readDelimited(cursor, end, read);
}

/** Whether bytes spell a text that is plain ASCII. */
function isSame(text: string, buffer: Buffer, start: number, end: number): boolean {
  if (text.length !== end - start) return false;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code > 0x7f || code !== buffer[start + index]) return false;
  }
  return true;
}

function asciiCodes(buffer: Buffer, start: number, end: number): number[] | undefined {
  const codes = new Array<number>(end - start);
  for (let at = start; at < end; at += 1) {
    const code = buffer[at] ?? 0;
    if (code > 0x7f) return undefined;
    codes[at - start] = code;
  }
  return codes;
}

function readBytes(cursor: Cursor, end: number): Uint8Array {
  const bytes = new Uint8Array(end - cursor.at);
  bytes.set(cursor.buffer.subarray(cursor.at, end));
  cursor.at = end;
  return bytes;
}

function readBool(cursor: Cursor, end: number): boolean | undefined {
  const value = readVarint(cursor, end);
  return value === undefined ? undefined : value !== 0;
}

function readInt32(cursor: Cursor, end: number): number | undefined {
  const value = readVarint(cursor, end);
  return value === undefined || value > 0x7fffffff ? undefined : value;
}

function readUint32(cursor: Cursor, end: number): number | undefined {
  const value = readVarint(cursor, end);
  return value === undefined || value > 0xffffffff ? undefined : value;
}

function readInt64(cursor: Cursor, end: number): bigint | undefined {
  const value = readVarint(cursor, end);
  return value === undefined ? undefined : BigInt(value);
}

// A number holds 53 bits: seven bytes of a varint.
const varintBytesMax = 7;

/** Reads a varint of up to 49 bits. Undefined for a longer one, as negative numbers are, and for one that is cut. */
function readVarint(cursor: Cursor, end: number): number | undefined {
  const { buffer } = cursor;
  let value = 0;
  let factor = 1;
  for (let count = 0; count < varintBytesMax && cursor.at < end; count += 1) {
    const byte = buffer[cursor.at] ?? 0;
    cursor.at += 1;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return value;
    factor *= 128;
  }
  return undefined;
}
