import { create } from "@bufbuild/protobuf";
import {
  type ListOnlineSessionsRequest,
  ListOnlineSessionsRequestSchema,
  type ListOnlineSessionsResponse,
  ListOnlineSessionsResponseSchema,
  OnlineSessionSchema,
} from "../../../../gen/garrison/core/v1/usage_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { silenceLimits } from "../../domain/fleet/node-state.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import type { CoreSchema } from "../schema.ts";
import { timeOf } from "./message-values.ts";
import { protocolWords } from "./protocol-words.ts";
import { sessionFilters } from "./session-filters.ts";
import { beyond } from "./sql-parts.ts";

/** Reads who is online. */
export type ListOnlineSessions = (request: ListOnlineSessionsRequest) => Promise<ListOnlineSessionsResponse>;

/** Reads it from the database. Of nodes that are offline nobody knows. */
export function createListOnlineSessions(
  { db }: Pick<Database<CoreSchema>, "db">,
  heartbeatMs: number,
  now: () => number,
): ListOnlineSessions {
  return async (request) => {
    const page = pageOf(ListOnlineSessionsRequestSchema, request, ["number"]);
    let query = db
      .selectFrom("online_session")
      .selectAll()
      .where("node_id", "in", (from) =>
        from.selectFrom("node").select("id").where("last_seen_at", ">=", silenceLimits(now(), heartbeatMs).offline),
      )
      .orderBy("id")
      .limit(page.size + 1);
    if (page.after !== undefined) query = query.where(beyond(["id"], page.after));
    for (const filter of sessionFilters(request)) query = query.where(filter);
    const { rows, nextPageToken } = page.cut(await query.execute(), ({ id }) => [id]);
    return create(ListOnlineSessionsResponseSchema, {
      nextPageToken,
      onlineSessions: rows.map((row) =>
        create(OnlineSessionSchema, {
          id: BigInt(row.id),
          nodeId: BigInt(row.node_id),
          userId: BigInt(row.account_id),
          subscriptionId: BigInt(row.subscription_id ?? 0),
          nodeProtocolId: BigInt(row.node_protocol_id ?? 0),
          protocol: protocolWords.value(row.protocol),
          since: timeOf(row.since),
          ipAddress: row.ip_address,
          sessionId: row.session_id,
        }),
      ),
    });
  };
}
