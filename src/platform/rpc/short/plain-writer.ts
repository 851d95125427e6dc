import { create, type DescField, type DescMessage, type Message, ScalarType } from "@bufbuild/protobuf";
import {
  type Sink,
  scalarWriters,
  smallBytes,
  type ValueWriter,
  varintSize,
  wireDelimited,
  wireVarint,
  writeInt32,
  writeVarint,
} from "./plain-values.ts";

/**
 * Writes a message behind `room` bytes that are left to the caller. Undefined when it holds anything that is unusual or
 * wrong, or is larger than 1 MiB: then `toBinary` has to judge it.
 */
export type PlainWriter = (message: Message, room: number) => Buffer | undefined;

/**
 * Compiles a writer for messages as handlers usually answer them. It writes what `toBinary` writes, but into one buffer
 * that all messages share before they are copied out. Usual are strings, bytes, booleans, small integers, enums, doubles,
 * messages, and lists of strings or messages, outside of oneofs.
 */
export function createPlainWriter(desc: DescMessage): PlainWriter {
  const write = compile(desc, new Map());
  return (message, room) => {
    const sink: Sink = { buffer: scratch, at: 0 };
    if (!write(message as Fields, sink)) return undefined; // by local name
    const bytes = Buffer.allocUnsafe(room + sink.at);
    scratch.copy(bytes, room, 0, sink.at);
    return bytes;
  };
}

// Nothing is awaited between writing and copying out.
const scratch = Buffer.allocUnsafeSlow(1024 * 1024);

type Fields = Message & Record<string, unknown>;
/** False: it is not plain. */
type MessageWriter = (message: Fields, sink: Sink) => boolean;
interface FieldWriter {
  readonly name: string;
  /** The value is not written. */
  readonly isAbsent: (value: unknown) => boolean;
  readonly write: ValueWriter;
}

const notPlain = () => false;

function compile(desc: DescMessage, known: Map<DescMessage, MessageWriter>): MessageWriter {
  const before = known.get(desc);
  if (before !== undefined) return before;
  const fields: FieldWriter[] = [];
  // Defaults in a prototype, as proto2 has them, are not plain.
  const isPlain = Object.getPrototypeOf(create(desc)) === Object.prototype;
  const write: MessageWriter = (message, sink) => {
    if (!isPlain || message.$typeName !== desc.typeName || message.$unknown !== undefined) return false;
    for (const { name, isAbsent, write: writeField } of fields) {
      const value = message[name];
      if (!isAbsent(value) && !writeField(value, sink)) return false;
    }
    return true;
  };
  // Before the fields, since messages may hold their own kind.
  known.set(desc, write);
  for (const field of desc.fields.toSorted((a, b) => a.number - b.number)) {
    if (field.oneof === undefined) fields.push(compileField(field, known));
  }
  for (const { localName } of desc.oneofs) fields.push({ name: localName, isAbsent: isUnsetOneof, write: notPlain });
  return write;
}

function compileField(field: DescField, known: Map<DescMessage, MessageWriter>): FieldWriter {
  const name = field.localName;
  if (field.fieldKind === "map") return { name, isAbsent: isEmptyMap, write: notPlain };
  const write = compileValue(field, known);
  if (field.fieldKind === "list")
    return { name, isAbsent: isEmptyList, write: (items, sink) => writeList(items, sink, write) };
  if (field.presence !== implicitPresence) return { name, isAbsent: isUndefined, write };
  return { name, isAbsent: field.scalar === ScalarType.DOUBLE ? isZeroDouble : isZero, write };
}

// google.protobuf.FeatureSet.FieldPresence.IMPLICIT
const implicitPresence = 2;

function compileValue(field: DescField, known: Map<DescMessage, MessageWriter>): ValueWriter {
  if (field.fieldKind === "map") return notPlain;
  if (field.message !== undefined) {
    // The well-known ones have shapes of their own.
    if (field.delimitedEncoding || field.message.typeName.startsWith("google.protobuf.")) return notPlain;
    const write = compile(field.message, known);
    return tagged(field, wireDelimited, (value, sink) => writeMessage(value, sink, write));
  }
  const scalar = field.enum === undefined ? scalarWriters[field.scalar] : { wire: wireVarint, write: writeInt32 };
  // Lists of numbers are packed.
  if (scalar === undefined || (field.fieldKind === "list" && scalar.wire !== wireDelimited)) return notPlain;
  return tagged(field, scalar.wire, scalar.write);
}

function tagged(field: DescField, wire: number, write: ValueWriter): ValueWriter {
  const tag = field.number * 8 + wire;
  return (value, sink) => {
    if (sink.at + smallBytes > sink.buffer.length) return false;
    writeVarint(tag, sink);
    return write(value, sink);
  };
}

function writeList(items: unknown, sink: Sink, write: ValueWriter): boolean {
  if (!Array.isArray(items)) return false;
  for (const item of items) if (!write(item, sink)) return false;
  return true;
}

function writeMessage(value: unknown, sink: Sink, write: MessageWriter): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { buffer } = sink;
  const start = sink.at + 1; // most are small: their length takes one byte
  sink.at = start;
  if (!write(value as Fields, sink)) return false; // by local name
  const length = sink.at - start;
  if (length < 0x80) {
    buffer[start - 1] = length;
    return true;
  }
  if (sink.at + smallBytes > buffer.length) return false;
  const end = sink.at;
  sink.at = start - 1;
  const moved = start - 1 + varintSize(length);
  buffer.copyWithin(moved, start, end);
  writeVarint(length, sink);
  sink.at = moved + length;
  return true;
}

function isUndefined(value: unknown): boolean {
  return value === undefined;
}

// What a field without presence is when it is not set.
function isZero(value: unknown): boolean {
  return value === "" || value === false || value === 0n || value === 0 || isEmptyBytes(value);
}

// A negative zero is set.
function isZeroDouble(value: unknown): boolean {
  return Object.is(value, 0);
}

function isEmptyBytes(value: unknown): boolean {
  return value instanceof Uint8Array && value.length === 0;
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function isEmptyMap(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function isUnsetOneof(value: unknown): boolean {
  return typeof value === "object" && value !== null && "case" in value && value.case === undefined;
}
