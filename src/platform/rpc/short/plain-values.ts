import { ScalarType } from "@bufbuild/protobuf";

/** Where a message is written to. */
export interface Sink {
  readonly buffer: Buffer;
  at: number;
}

/** Writes a value. False: it is not plain, or there is no room for it. */
export type ValueWriter = (value: unknown, sink: Sink) => boolean;

/** The wire type of numbers of any length. */
export const wireVarint = 0;
/** The wire type of numbers of eight bytes. */
const wireFixed64 = 1;
/** The wire type of what is preceded by its length. */
export const wireDelimited = 2;

/** Writers of scalars that are plain. */
export const scalarWriters: Partial<Record<ScalarType, ScalarWriter>> = {
  [ScalarType.STRING]: { wire: wireDelimited, write: writeString },
  [ScalarType.BYTES]: { wire: wireDelimited, write: writeBytes },
  [ScalarType.BOOL]: { wire: wireVarint, write: writeBool },
  [ScalarType.INT32]: { wire: wireVarint, write: writeInt32 },
  [ScalarType.UINT32]: { wire: wireVarint, write: writeUint32 },
  [ScalarType.INT64]: { wire: wireVarint, write: writeInt64 },
  [ScalarType.UINT64]: { wire: wireVarint, write: writeInt64 },
  [ScalarType.DOUBLE]: { wire: wireFixed64, write: writeDouble },
};

/** How a scalar is written. */
export interface ScalarWriter {
  readonly wire: number;
  readonly write: ValueWriter;
}

/** More than a tag and a number take, or a tag and the length of what follows. */
export const smallBytes = 24;

// Up to it, a loop is faster than a call into the buffer.
const shortString = 32;

function writeString(value: unknown, sink: Sink): boolean {
  if (typeof value !== "string") return false;
  const { buffer } = sink;
  const { length } = value;
  if (sink.at + length + smallBytes > buffer.length) return false;
  if (length <= shortString && writeAscii(value, sink)) return true;
  const size = Buffer.byteLength(value);
  if (sink.at + size + smallBytes > buffer.length) return false;
  writeVarint(size, sink);
  buffer.write(value, sink.at);
  sink.at += size;
  return true;
}

function writeAscii(value: string, sink: Sink): boolean {
  const { buffer } = sink;
  const { length } = value;
  const start = sink.at + 1;
  for (let index = 0; index < length; index += 1) {
    const code = value.charCodeAt(index);
    if (code > 0x7f) return false;
    buffer[start + index] = code;
  }
  buffer[start - 1] = length;
  sink.at = start + length;
  return true;
}

function writeBytes(value: unknown, sink: Sink): boolean {
  if (!(value instanceof Uint8Array) || sink.at + value.length + smallBytes > sink.buffer.length) return false;
  writeVarint(value.length, sink);
  sink.buffer.set(value, sink.at);
  sink.at += value.length;
  return true;
}

function writeBool(value: unknown, sink: Sink): boolean {
  if (typeof value !== "boolean") return false;
  writeVarint(value ? 1 : 0, sink);
  return true;
}

/** Writes an integer from 0 to the largest of 31 bits. */
export function writeInt32(value: unknown, sink: Sink): boolean {
  return writeNumber(value, sink, 0x7fffffff);
}

function writeUint32(value: unknown, sink: Sink): boolean {
  return writeNumber(value, sink, 0xffffffff);
}

function writeInt64(value: unknown, sink: Sink): boolean {
  return typeof value === "bigint" && writeNumber(Number(value), sink, Number.MAX_SAFE_INTEGER);
}

// Negative ones take ten bytes, and are not plain.
function writeNumber(value: unknown, sink: Sink, max: number): boolean {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > max) return false;
  writeVarint(value, sink);
  return true;
}

function writeDouble(value: unknown, sink: Sink): boolean {
  if (typeof value !== "number") return false;
  sink.at = sink.buffer.writeDoubleLE(value, sink.at);
  return true;
}

/** Writes an integer as a varint, for which there must be room. */
export function writeVarint(value: number, sink: Sink): void {
  const { buffer } = sink;
  let rest = value;
  while (rest > 0x7f) {
    buffer[sink.at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  buffer[sink.at++] = rest;
}

/** How many bytes a varint takes. */
export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}
