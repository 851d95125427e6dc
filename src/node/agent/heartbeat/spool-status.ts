import { create } from "@bufbuild/protobuf";
import { BatchKind, type SpoolStatus, SpoolStatusSchema } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import type { ReportKind, SpoolState } from "../spool/spool.ts";

const kinds: Record<ReportKind, BatchKind> = {
  usage: BatchKind.USAGE,
  outbound_usage: BatchKind.OUTBOUND_USAGE,
  sessions: BatchKind.SESSIONS,
};

/** What waits in the spool, for a heartbeat. What is in no batch yet counts as the batches that it will be. */
export function spoolStatus(
  { kind, epoch, lastSeq, waitingEntries, sealedAt, sealedBytes }: SpoolState,
  maxEntries: number,
  now: number,
): SpoolStatus {
  const pendingBatches = (sealedAt === undefined ? 0 : 1) + Math.ceil(waitingEntries / maxEntries);
  return create(SpoolStatusSchema, {
    ...{ kind: kinds[kind], epoch, lastSeq: BigInt(lastSeq) },
    ...{ pendingBatches: BigInt(pendingBatches), pendingBytes: BigInt(sealedBytes) },
    ...(sealedAt !== undefined && { oldestAgeSeconds: BigInt(Math.max(0, Math.round((now - sealedAt) / 1_000))) }),
  });
}
