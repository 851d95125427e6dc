import { describe, expect, test } from "vitest";
import { digestBytes, epochMemoryMs, judgeBatch, type StreamState } from "./batch-order.ts";
import { BatchMismatch, EpochUnknown, SequenceGap } from "./situations.ts";

const now = 1_800_000_000_000;
const digest = (of: number) => new Uint8Array(digestBytes).fill(of);
const batch = (seq: bigint, lostFrom?: bigint) => ({ seq, lostFrom });

/** A stream whose batch n has the digest n. */
function streamUpTo(lastSeq: number, updatedAt = now): StreamState {
  let state: StreamState | undefined;
  for (let seq = 1; seq <= lastSeq; seq += 1) {
    const verdict = judgeBatch(batch(BigInt(seq)), digest(seq), state, updatedAt);
    if (verdict.kind !== "next") throw new Error("the batch is not the next one");
    state = { lastSeq: BigInt(seq), digests: verdict.digests, updatedAt };
  }
  return state ?? { lastSeq: 0n, digests: new Uint8Array(), updatedAt };
}

describe("the batch of a stream that has come to 3", () => {
  const stream = streamUpTo(3);

  test.each([1, 2, 3])("with the number %d is a duplicate, or a mismatch with other entries", (seq) => {
    const verdict = judgeBatch(batch(BigInt(seq)), digest(seq), stream, now);
    expect(verdict).toEqual({ kind: "duplicate", lastSeq: 3n });
    expect(() => judgeBatch(batch(BigInt(seq)), digest(9), stream, now)).toThrow(BatchMismatch);
  });

  test.each<[seq: bigint, lostFrom: bigint | undefined, gap: { from: bigint; to: bigint } | undefined]>([
    [4n, undefined, undefined],
    [4n, 2n, undefined],
    [4n, 4n, undefined],
    [6n, 4n, { from: 4n, to: 5n }],
    [6n, 1n, { from: 4n, to: 5n }],
    [5n, 3n, { from: 4n, to: 4n }],
  ])("with the number %d, lost from %s, is the next one", (seq, lostFrom, gap) => {
    expect(judgeBatch(batch(seq, lostFrom), digest(7), stream, now)).toMatchObject({ kind: "next", gap });
  });

  test.each<[seq: bigint, lostFrom: bigint | undefined]>([
    [5n, undefined],
    [5n, 5n],
    [9n, 5n],
  ])("with the number %d, lost from %s, leaves a gap, and 4 is expected", (seq, lostFrom) => {
    const judge = () => judgeBatch(batch(seq, lostFrom), digest(7), stream, now);
    expect(judge).toThrow(SequenceGap);
    expect(judge).toThrow(expect.objectContaining({ expected: 4n }));
  });
});

test("after a gap the digests before it are given up, and their batches still count as booked", () => {
  const verdict = judgeBatch(batch(9n, 4n), digest(9), streamUpTo(3), now);
  const digests = verdict.kind === "next" ? verdict.digests : new Uint8Array();
  const stream = { lastSeq: 9n, digests, updatedAt: now };
  expect(judgeBatch(batch(2n), digest(77), stream, now)).toMatchObject({ kind: "duplicate" });
  expect(() => judgeBatch(batch(9n), digest(77), stream, now)).toThrow(BatchMismatch);
});

test("the digests of the last 32 batches are kept", () => {
  const stream = streamUpTo(100);
  expect(stream.digests).toHaveLength(32 * digestBytes);
  expect(() => judgeBatch(batch(69n), digest(1), stream, now)).toThrow(BatchMismatch);
  expect(judgeBatch(batch(68n), digest(1), stream, now)).toMatchObject({ kind: "duplicate" });
});

test("an epoch that is not known, or no longer, begins with 1", () => {
  const forgotten = streamUpTo(3, now - epochMemoryMs - 1);
  for (const stream of [undefined, forgotten]) {
    expect(judgeBatch(batch(1n), digest(5), stream, now)).toEqual({ kind: "next", digests: digest(5), gap: undefined });
    expect(() => judgeBatch(batch(2n), digest(5), stream, now)).toThrow(EpochUnknown);
    expect(() => judgeBatch(batch(4n, 1n), digest(5), stream, now)).toThrow(EpochUnknown);
  }
  expect(judgeBatch(batch(4n), digest(5), streamUpTo(3, now - epochMemoryMs), now)).toMatchObject({ kind: "next" });
});
