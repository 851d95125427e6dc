import { create } from "@bufbuild/protobuf";
import { sql } from "kysely";
import {
  type CompareInboundUsageRequest,
  CompareInboundUsageRequestSchema,
  type CompareInboundUsageResponse,
  CompareInboundUsageResponseSchema,
  InboundComparisonSchema,
} from "../../../../gen/garrison/core/v1/usage_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import { Invalid } from "../../domain/fleet/situations.ts";
import { drifts } from "../../domain/usage/inbound-totals.ts";
import type { CoreSchema } from "../schema.ts";
import { msOf, timeOf } from "./message-values.ts";
import { beyond, idOf } from "./sql-parts.ts";

/** Reads what inbounds and their users have carried. */
export type CompareInboundUsage = (request: CompareInboundUsageRequest) => Promise<CompareInboundUsageResponse>;

/** Reads it from the database. `now` is in milliseconds since 1970. */
export function createCompareInboundUsage(
  { db }: Pick<Database<CoreSchema>, "db">,
  now: () => number,
): CompareInboundUsage {
  return async (request) => {
    const to = msOf(request.to) ?? now();
    const from = msOf(request.from) ?? to - usualDays * dayMs;
    if (from >= to) throw new Invalid("FIELD_INVALID", "from: is not before to");
    const page = pageOf(CompareInboundUsageRequestSchema, request, ["number", "number", "number"]);
    const key = ["day", "node_id", "node_protocol_id"] as const;
    let query = db
      .selectFrom("inbound_day")
      .selectAll()
      .where("day", ">=", from - (from % dayMs))
      .where("day", "<", to)
      .where(sql<boolean>`(bytes_up > 0 or bytes_down > 0)`)
      .orderBy("day")
      .orderBy("node_id")
      .orderBy("node_protocol_id")
      .limit(page.size + 1);
    if (request.nodeId !== 0n) query = query.where("node_id", "=", idOf(request.nodeId));
    if (page.after !== undefined) query = query.where(beyond(key, page.after));
    const { rows, nextPageToken } = page.cut(await query.execute(), (row) => key.map((column) => row[column]));
    return create(CompareInboundUsageResponseSchema, {
      nextPageToken,
      rows: rows.map((row) => {
        const [inboundBytes, userBytes] = [row.bytes_up + row.bytes_down, row.user_bytes];
        return create(InboundComparisonSchema, {
          ...{ inboundBytes, userBytes, drifts: drifts(inboundBytes, userBytes) },
          day: timeOf(row.day),
          nodeId: BigInt(row.node_id),
          nodeProtocolId: BigInt(row.node_protocol_id),
        });
      }),
    });
  };
}

const dayMs = 86_400_000;
const usualDays = 7;
