import { expect, test } from "vitest";
import { cancel, frame, http2Hello, pong } from "../../../test/listener/frames.ts";
import { hearFrames } from "./heard-frames.ts";

function hear(bytes: Buffer, pieceBytes: number): (number | "acknowledged")[] {
  const heard: (number | "acknowledged")[] = [];
  const read = hearFrames({ reset: (id) => heard.push(id), acknowledged: () => heard.push("acknowledged") });
  for (let at = 0; at < bytes.length; at += pieceBytes) read(bytes.subarray(at, at + pieceBytes));
  return heard;
}

const data = Buffer.alloc(8, 7);
// What would be a reset, if the payload were not skipped.
const decoy = frame(0, 0, 5, cancel(77));
const ping = frame(6, 0, 0, data);
const last = 2 ** 31 - 1;
const said = Buffer.concat([
  http2Hello,
  decoy,
  cancel(1),
  pong(data),
  ping,
  frame(4, 1, 0),
  cancel(last),
  decoy,
  pong(data),
]);

test.each([1, 2, 8, 9, 10, 13, 1_000])(
  "what tells is heard in its order from pieces of %i bytes, and nothing else",
  (size) => {
    expect(hear(said, size)).toEqual([1, "acknowledged", last, "acknowledged"]);
  },
);

test("the reserved bit in front of a stream's id counts for nothing", () => {
  const reset = cancel(7);
  reset.writeUInt8(0x80, 5);
  expect(hear(Buffer.concat([http2Hello, reset]), 100)).toEqual([7]);
});
