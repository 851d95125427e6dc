import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { expect, test } from "vitest";
import { QueryStatsResponseSchema } from "../../../../gen/xray/app/stats/command/command_pb.ts";
import { EngineUnreachable } from "../engine-error.ts";
import { StatsReader } from "./stats-reader.ts";

function read(bytes: Uint8Array): { name: string; value: bigint }[] {
  const stats = new StatsReader(Buffer.from(bytes));
  const found = [];
  while (stats.next()) found.push({ name: stats.nameWithout(0, 0), value: stats.value });
  return found;
}

test("every counter is read as it was written, whatever its name and value", () => {
  const name = fc.oneof(fc.string({ maxLength: 200 }), fc.string({ unit: "grapheme", maxLength: 40 }));
  const value = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.nat().map(BigInt));
  fc.assert(
    fc.property(fc.array(fc.record({ name, value })), (stat) => {
      expect(read(toBinary(QueryStatsResponseSchema, create(QueryStatsResponseSchema, { stat })))).toEqual(stat);
    }),
  );
});

test("fields that nobody knows here are passed over, in the answer and in a counter", () => {
  const unknown = (writer: BinaryWriter) =>
    writer
      .tag(9, WireType.Varint)
      .uint64(2n ** 60n)
      .tag(10, WireType.Bit64)
      .fixed64(1)
      .tag(11, WireType.Bit32)
      .fixed32(1)
      .tag(200, WireType.LengthDelimited)
      .string("later");
  const writer = unknown(new BinaryWriter()).tag(1, WireType.LengthDelimited).fork();
  unknown(unknown(writer).tag(1, WireType.LengthDelimited).string("a").tag(2, WireType.Varint).int64(5)).join();
  expect(read(unknown(writer).finish())).toEqual([{ name: "a", value: 5n }]);
});

test("how a name begins and ends is told, the end not of one that is nothing else", () => {
  const stat = [{ name: "user>up" }, { name: ">up" }, { name: "up" }, { name: "" }];
  const stats = new StatsReader(
    Buffer.from(toBinary(QueryStatsResponseSchema, create(QueryStatsResponseSchema, { stat }))),
  );
  const found = [];
  while (stats.next()) found.push([stats.nameEndsWith(">up"), stats.nameStartsWith("user>"), stats.nameStartsWith("")]);
  const nothing = [false, false, true];
  expect(found).toEqual([[true, true, true], nothing, nothing, nothing]);
});

test("whatever else comes is an error of Xray", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        read(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(EngineUnreachable);
      }
    }),
    { numRuns: 2_000 },
  );
  for (const hex of ["0a", "0a05", "0a020a05", "0a0210", "0a0b10ffffffffffffffffffff", "0b", "0a010c"])
    expect(() => read(Buffer.from(hex, "hex"))).toThrow(EngineUnreachable);
});
