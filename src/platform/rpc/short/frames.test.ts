import { Code } from "@connectrpc/connect";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FrameReader, prefixBytes, writePrefix } from "./frames.ts";

interface Read {
  flags: number;
  data: string;
}

function read(chunks: readonly Buffer[], readMaxBytes = 1_000_000): Read[] {
  const frames: Read[] = [];
  const reader = new FrameReader(readMaxBytes, ({ flags, buffer, start, end }) => {
    frames.push({ flags, data: buffer.toString("latin1", start, end) });
  });
  for (const chunk of chunks) reader.push(chunk);
  reader.end();
  return frames;
}

function frame(flags: number, data: Uint8Array, length = data.length): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(prefixBytes), data]);
  writePrefix(bytes, flags);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

describe("frames", () => {
  test("come out as they went in, however the body was cut", () => {
    const arbitraryFrames = fc.array(fc.record({ flags: fc.nat(255), data: fc.uint8Array({ maxLength: 70 }) }), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(arbitraryFrames, fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 }), (frames, cuts) => {
        let rest = Buffer.concat(frames.map(({ flags, data }) => frame(flags, data)));
        const chunks: Buffer[] = [];
        for (const cut of cuts) {
          chunks.push(rest.subarray(0, cut));
          rest = rest.subarray(cut);
        }
        const expected = frames.map(({ flags, data }) => ({ flags, data: Buffer.from(data).toString("latin1") }));
        expect(read([...chunks, rest])).toEqual(expected);
      }),
    );
  });

  test("of many pieces are put together, large ones too", () => {
    const data = Buffer.alloc(900_000, "abc");
    const bytes = frame(1, data);
    const chunks = Array.from({ length: 90 }, (_, index) => bytes.subarray(index * 10_001, (index + 1) * 10_001));
    expect(read(chunks)).toEqual([{ flags: 1, data: data.toString("latin1") }]);
  });

  test("that are announced larger than allowed are refused at their prefix", () => {
    const prefix = frame(0, Buffer.alloc(0), 0xffff_ffff);
    const tooLarge = expect.objectContaining({
      code: Code.ResourceExhausted,
      rawMessage: "message size 4294967295 is larger than configured readMaxBytes 10",
    });
    expect(() => read([prefix], 10)).toThrow(tooLarge);
    expect(() => read([prefix.subarray(0, 3), prefix.subarray(3)], 10)).toThrow(tooLarge);
    expect(read([frame(0, Buffer.alloc(10))], 10)).toHaveLength(1);
  });

  test.each([1, 4, 5, 7])("that end after %i bytes are incomplete", (length) => {
    const incomplete = expect.objectContaining({ code: Code.InvalidArgument });
    expect(() => read([frame(0, Buffer.from("data")).subarray(0, length)])).toThrow(incomplete);
  });
});
