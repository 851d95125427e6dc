import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Transaction } from "kysely";
import {
  ReportOutboundUsageRequestSchema,
  ReportSessionsRequestSchema,
  ReportUsageRequestSchema,
  SessionEventEntrySchema,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { addInbound, addOutbound, addUsage, type Bytes } from "./buckets.ts";
import type { SpoolSchema } from "./schema.ts";
import type { ReportKind } from "./spool.ts";

/** Takes a batch apart that Core has refused as it is, so that its number is free again. */
export function unseal(
  { transaction }: Database<SpoolSchema>,
  kind: ReportKind,
  entries: "wait" | "are forgotten",
): Promise<void> {
  return transaction(async (tx) => {
    const sealed = await tx.deleteFrom("sealed").where("kind", "=", kind).returning("request").executeTakeFirst();
    if (sealed === undefined) return;
    await tx
      .updateTable("stream")
      .set((eb) => ({ last_seq: eb("last_seq", "-", 1) }))
      .where("kind", "=", kind)
      .execute();
    if (entries === "wait") await putBack[kind](tx, sealed.request);
  });
}

type PutBack = (tx: Transaction<SpoolSchema>, request: Uint8Array) => Promise<void>;

const putBack: Record<ReportKind, PutBack> = {
  async usage(tx, request) {
    const { entries, inbounds } = fromBinary(ReportUsageRequestSchema, request);
    for (const entry of entries) {
      const row = {
        ...{ minute: Date.parse(entry.recordedAt), node_protocol_id: Number(entry.nodeProtocolId) },
        ...{ link_uuid: entry.linkUuid, user_id: Number(entry.userId) },
        ...{ subscription_id: Number(entry.subscriptionId ?? 0n), ...bytesOf(entry) },
      };
      await addUsage(tx, row, entry.coarse ? 1 : 0).execute();
    }
    for (const inbound of inbounds)
      await addInbound(tx, { node_protocol_id: Number(inbound.nodeProtocolId), ...bytesOf(inbound) }).execute();
  },
  async outbound_usage(tx, request) {
    const { items } = fromBinary(ReportOutboundUsageRequestSchema, request);
    for (const item of items) await addOutbound(tx, { tag: item.tag, ...bytesOf(item) }).execute();
  },
  async sessions(tx, request) {
    const { events } = fromBinary(ReportSessionsRequestSchema, request);
    const { first } = await tx
      .selectFrom("session_event")
      .select((eb) => eb.fn.min("id").as("first"))
      .executeTakeFirstOrThrow();
    // In front of those that wait.
    const start = (first ?? 1) - events.length;
    for (const [index, event] of events.entries())
      await tx
        .insertInto("session_event")
        .values({ id: start + index, event: toBinary(SessionEventEntrySchema, event) })
        .execute();
  },
};

function bytesOf({ bytesUp, bytesDown }: { bytesUp: bigint; bytesDown: bigint }): Bytes {
  return { bytes_up: bytesUp, bytes_down: bytesDown };
}
