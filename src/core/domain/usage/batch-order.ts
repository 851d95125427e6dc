import type { BatchName } from "./batch-name.ts";
import { BatchMismatch, EpochUnknown, SequenceGap } from "./situations.ts";

/** How far the batches of one kind and epoch of a node have come. */
export interface StreamState {
  /** The highest number that is booked. */
  readonly lastSeq: bigint;
  /** The digests of the last batches, {@link digestBytes} each, the newest first. */
  readonly digests: Uint8Array;
  /** When the last one was booked. */
  readonly updatedAt: number;
}

/** What is to be done with a batch. */
export type Verdict =
  | { readonly kind: "duplicate"; readonly lastSeq: bigint }
  | {
      readonly kind: "next";
      /** The digests to keep from now on. */
      readonly digests: Uint8Array;
      /** The batches, both ends included, that will never come. */
      readonly gap: { readonly from: bigint; readonly to: bigint } | undefined;
    };

/** Bytes of a digest. */
export const digestBytes = 16;

/** How long an epoch is remembered after its last batch. */
export const epochMemoryMs = 30 * 24 * 60 * 60 * 1000;

/**
 * Decides what a batch is to its stream. Throws `SequenceGap`, `BatchMismatch` or `EpochUnknown`. Whether the entries of
 * a batch that was booked are still the same is known of the last 32 batches; agents repeat the last one only.
 */
export function judgeBatch(
  { seq, lostFrom }: Pick<BatchName, "seq" | "lostFrom">,
  digest: Uint8Array,
  stream: StreamState | undefined,
  now: number,
): Verdict {
  if (stream === undefined || now - stream.updatedAt > epochMemoryMs) {
    if (seq !== 1n) throw new EpochUnknown();
    return { kind: "next", digests: digest, gap: undefined };
  }
  const { lastSeq, digests } = stream;
  if (seq <= lastSeq) {
    const at = Number(lastSeq - seq) * digestBytes;
    const booked = digests.subarray(at, at + digestBytes);
    if (booked.length > 0 && Buffer.compare(booked, digest) !== 0) throw new BatchMismatch();
    return { kind: "duplicate", lastSeq };
  }
  const expected = lastSeq + 1n;
  if (seq === expected) {
    const kept = digests.subarray(0, (digestsKept - 1) * digestBytes);
    return { kind: "next", digests: Buffer.concat([digest, kept]), gap: undefined };
  }
  if (lostFrom === undefined || lostFrom > expected) throw new SequenceGap(expected);
  // Of what was booked before the gap the digests are given up: they would have to be found by their numbers.
  return { kind: "next", digests: digest, gap: { from: expected, to: seq - 1n } };
}

const digestsKept = 32;
