import { setImmediate } from "node:timers/promises";
import { create, type DescMessage, type MessageShape, mergeFromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";

/** From this size on a message is better read in slices: a smaller one takes a few milliseconds. */
export const largeBytes = 256 * 1024;

// About two milliseconds of work.
const sliceBytes = 32 * 1024;

/**
 * Reads a message as `fromBinary` does, but in slices between which other calls have their turn: a list of many thousand
 * entries would hold up everybody for as long as it takes. A single field, however large, is read in one go. Rejects with
 * what `fromBinary` throws.
 */
export async function readLarge<D extends DescMessage>(desc: D, bytes: Uint8Array): Promise<MessageShape<D>> {
  const message = create(desc);
  for (let start = 0; start < bytes.length; ) {
    const end = endOfSlice(bytes, start);
    // Fields that come one after the other mean the same in one message and in several that are merged.
    mergeFromBinary(desc, message, bytes.subarray(start, end));
    start = end;
    if (start < bytes.length) await setImmediate();
  }
  return message;
}

/** Where a field ends, at least a slice further on. What is malformed is left to be judged as a whole. */
function endOfSlice(bytes: Uint8Array, start: number): number {
  const rest = new BinaryReader(bytes.subarray(start));
  try {
    while (rest.pos < sliceBytes && rest.pos < rest.len) {
      const [number, wireType] = rest.tag();
      rest.skip(wireType, number);
    }
  } catch {
    return bytes.length;
  }
  return start + rest.pos;
}
