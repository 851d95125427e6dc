import { fromBinary } from "@bufbuild/protobuf";
import { ReportUsageRequestSchema } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import type { SpoolSchema } from "./schema.ts";

/** Bytes in both directions that are in no batch yet, or in one that is not acknowledged, by subscription. */
export async function unacknowledgedOf({ db }: Database<SpoolSchema>): Promise<ReadonlyMap<number, bigint>> {
  const bytes = new Map<number, bigint>();
  const add = (id: number, more: bigint) => void bytes.set(id, (bytes.get(id) ?? 0n) + more);
  const waiting = await db
    .selectFrom("usage_bucket")
    .select(["subscription_id", "bytes_up", "bytes_down"])
    .where("subscription_id", ">", 0)
    .execute();
  for (const { subscription_id, bytes_up, bytes_down } of waiting) add(subscription_id, bytes_up + bytes_down);
  const sealed = await db.selectFrom("sealed").select("request").where("kind", "=", "usage").executeTakeFirst();
  const { entries } = fromBinary(ReportUsageRequestSchema, sealed?.request ?? new Uint8Array());
  for (const { subscriptionId, bytesUp, bytesDown } of entries)
    if (subscriptionId !== undefined) add(Number(subscriptionId), bytesUp + bytesDown);
  return bytes;
}
