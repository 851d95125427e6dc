import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { BatchSchema } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { nameOfBatch } from "./batch-name.ts";
import { BatchNameInvalid } from "./situations.ts";

test("the body tells all of it, and the header the epoch and the number", () => {
  const batch = create(BatchSchema, { epoch: "e", seq: 7n, ageMs: 5n, lostFrom: 3n });
  expect(nameOfBatch(batch, undefined)).toEqual({ epoch: "e", seq: 7n, ageMs: 5, lostFrom: 3n });
  expect(nameOfBatch(batch, "e:7")).toEqual(nameOfBatch(batch, undefined));
  expect(nameOfBatch(undefined, "e:7")).toEqual({ epoch: "e", seq: 7n, ageMs: undefined, lostFrom: undefined });
  expect(nameOfBatch(undefined, "a:b:9223372036854775807")).toMatchObject({ epoch: "a:b", seq: 2n ** 63n - 1n });
  expect(nameOfBatch(undefined, undefined)).toBeUndefined();
});

test.each([
  "",
  ":1",
  "e",
  "e:",
  "e:0",
  "e:-1",
  "e:01",
  "e:1.0",
  "e:9223372036854775808",
  `${"e".repeat(65)}:1`,
  "e\n:1",
])("a header %j names no batch", (header) => {
  expect(() => nameOfBatch(undefined, header)).toThrow(BatchNameInvalid);
});

test.each<[epoch: string, seq: bigint, header: string | undefined]>([
  ["", 1n, undefined],
  ["e".repeat(65), 1n, undefined],
  ["a\0", 1n, undefined],
  ["e", 0n, undefined],
  ["e", -1n, undefined],
  ["e", 1n, "e:2"],
  ["e", 1n, "f:1"],
])("a batch %j:%d with the header %j is refused", (epoch, seq, header) => {
  expect(() => nameOfBatch(create(BatchSchema, { epoch, seq }), header)).toThrow(BatchNameInvalid);
});
