import { create, type DescMessage, type MessageShape, mergeFromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { nextTurn } from "../next-turn.ts";
import { type Cursor, createPlainFieldReader } from "./short/plain-reader.ts";

/** From this size on a message is better read in slices: a smaller one takes a few milliseconds. */
export const largeBytes = 256 * 1024;

// About two milliseconds of work.
const sliceBytes = 64 * 1024;

/**
 * Reads a message as `fromBinary` does, but in slices between which other calls have their turn: a list of many thousand
 * entries would hold up everybody for as long as it takes. A single field, however large, is read in one go. Rejects with
 * what `fromBinary` throws. The message may keep views of the bytes.
 */
export async function readLarge<D extends DescMessage>(desc: D, bytes: Uint8Array): Promise<MessageShape<D>> {
  const message = create(desc);
  const readPlain = readerOf(desc);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const cursor: Cursor = { buffer, at: 0, depth: 0 };
  for (let pauseAt = sliceBytes; cursor.at < bytes.length; ) {
    if (!readPlain(message, cursor, bytes.length)) {
      // Fields that come one after the other mean the same in one message and in several that are merged.
      const end = endOfField(bytes, cursor.at);
      mergeFromBinary(desc, message, bytes.subarray(cursor.at, end));
      cursor.at = end;
    }
    if (cursor.at < pauseAt || cursor.at === bytes.length) continue;
    pauseAt = cursor.at + sliceBytes;
    await nextTurn();
  }
  return message;
}

const readers = new Map<DescMessage, ReturnType<typeof createPlainFieldReader>>();

function readerOf(desc: DescMessage): ReturnType<typeof createPlainFieldReader> {
  const reader = readers.get(desc) ?? createPlainFieldReader(desc);
  readers.set(desc, reader);
  return reader;
}

/** Where a field ends. What is malformed is left to be judged as a whole. */
function endOfField(bytes: Uint8Array, start: number): number {
  const rest = new BinaryReader(bytes.subarray(start));
  try {
    const [number, wireType] = rest.tag();
    rest.skip(wireType, number);
    return start + rest.pos;
  } catch {
    return bytes.length;
  }
}
