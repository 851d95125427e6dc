import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Transaction } from "kysely";
import {
  ReportOutboundUsageRequestSchema,
  ReportSessionsRequestSchema,
  ReportUsageRequestSchema,
  SessionEventEntrySchema,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
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
      await tx
        .insertInto("usage_bucket")
        .values({
          ...{ minute: Date.parse(entry.recordedAt), coarse: entry.coarse ? 1 : 0 },
          ...{ node_protocol_id: Number(entry.nodeProtocolId), link_uuid: entry.linkUuid },
          ...{ user_id: Number(entry.userId), subscription_id: Number(entry.subscriptionId ?? 0n) },
          ...{ bytes_up: entry.bytesUp, bytes_down: entry.bytesDown },
        })
        .onConflict((conflict) =>
          conflict
            .columns(["minute", "coarse", "node_protocol_id", "link_uuid", "user_id", "subscription_id"])
            .doUpdateSet((eb) => ({
              bytes_up: eb("usage_bucket.bytes_up", "+", eb.ref("excluded.bytes_up")),
              bytes_down: eb("usage_bucket.bytes_down", "+", eb.ref("excluded.bytes_down")),
            })),
        )
        .execute();
    }
    for (const { nodeProtocolId, bytesUp: bytes_up, bytesDown: bytes_down } of inbounds) {
      await tx
        .insertInto("inbound_bucket")
        .values({ node_protocol_id: Number(nodeProtocolId), bytes_up, bytes_down })
        .onConflict((conflict) =>
          conflict.column("node_protocol_id").doUpdateSet((eb) => ({
            bytes_up: eb("inbound_bucket.bytes_up", "+", eb.ref("excluded.bytes_up")),
            bytes_down: eb("inbound_bucket.bytes_down", "+", eb.ref("excluded.bytes_down")),
          })),
        )
        .execute();
    }
  },
  async outbound_usage(tx, request) {
    for (const { tag, bytesUp: bytes_up, bytesDown: bytes_down } of fromBinary(
      ReportOutboundUsageRequestSchema,
      request,
    ).items) {
      await tx
        .insertInto("outbound_bucket")
        .values({ tag, bytes_up, bytes_down })
        .onConflict((conflict) =>
          conflict.column("tag").doUpdateSet((eb) => ({
            bytes_up: eb("outbound_bucket.bytes_up", "+", eb.ref("excluded.bytes_up")),
            bytes_down: eb("outbound_bucket.bytes_down", "+", eb.ref("excluded.bytes_down")),
          })),
        )
        .execute();
    }
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
