import type { Batch } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { BatchNameInvalid } from "./situations.ts";

/** What names a report, so that it counts once. */
export interface BatchName {
  readonly epoch: string;
  /** From 1. */
  readonly seq: bigint;
  /** Milliseconds since the batch was sealed; undefined: not told. */
  readonly ageMs: number | undefined;
  /** The batches from this one up to that before `seq` will never come; undefined: none is lost. */
  readonly lostFrom: bigint | undefined;
}

/**
 * The name of a report, which its `batch` tells, or the header `Idempotency-Key: <epoch>:<seq>`; undefined: it has none.
 * Throws `BatchNameInvalid` for a header that cannot be read or names another batch than the body.
 */
export function nameOfBatch(batch: Batch | undefined, idempotencyKey: string | undefined): BatchName | undefined {
  const key = idempotencyKey === undefined ? undefined : readKey(idempotencyKey);
  if (batch === undefined) return key;
  const { epoch, seq, ageMs, lostFrom } = batch;
  if (!isEpoch(epoch)) throw new BatchNameInvalid("an epoch has 1 to 64 characters, and no control characters");
  if (seq < 1n) throw new BatchNameInvalid("batches are numbered from 1");
  if (key !== undefined && (key.epoch !== epoch || key.seq !== seq)) {
    throw new BatchNameInvalid("the header Idempotency-Key names another batch than the body: send one of them");
  }
  return { epoch, seq, ageMs: ageMs === undefined ? undefined : Number(ageMs), lostFrom };
}

function readKey(text: string): BatchName {
  const [, epoch = "", digits = ""] = /^(.*):([1-9]\d{0,18})$/s.exec(text) ?? [];
  const seq = BigInt(digits || 0);
  if (!isEpoch(epoch) || seq < 1n || seq > highestSeq) {
    throw new BatchNameInvalid("the header Idempotency-Key is <epoch>:<seq>: the batch's epoch and its number, from 1");
  }
  return { epoch, seq, ageMs: undefined, lostFrom: undefined };
}

function isEpoch(text: string): boolean {
  return text.length >= 1 && text.length <= 64 && !/\p{Cc}/u.test(text);
}

const highestSeq = 2n ** 63n - 1n;
