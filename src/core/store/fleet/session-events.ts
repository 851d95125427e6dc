import { create } from "@bufbuild/protobuf";
import { SessionEventTypeSchema } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import {
  type ListSessionEventsRequest,
  ListSessionEventsRequestSchema,
  type ListSessionEventsResponse,
  ListSessionEventsResponseSchema,
  SessionEventSchema,
} from "../../../../gen/garrison/core/v1/usage_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import type { CoreSchema } from "../schema.ts";
import { msOf, timeOf, wordsOf } from "./message-values.ts";
import { protocolWords } from "./protocol-words.ts";
import { sessionFilters } from "./session-filters.ts";
import { beyond } from "./sql-parts.ts";

/** Reads who came and went, the newest first. */
export type ListSessionEvents = (request: ListSessionEventsRequest) => Promise<ListSessionEventsResponse>;

/** Reads session events from the database. */
export function createListSessionEvents({ db }: Pick<Database<CoreSchema>, "db">): ListSessionEvents {
  return async (request) => {
    const page = pageOf(ListSessionEventsRequestSchema, request, ["number"]);
    const [from, to] = [msOf(request.from), msOf(request.to)];
    let query = db
      .selectFrom("session_event")
      .selectAll()
      .orderBy("id", "desc")
      .limit(page.size + 1);
    if (page.after !== undefined) query = query.where(beyond(["id"], page.after, "desc"));
    for (const filter of sessionFilters(request)) query = query.where(filter);
    if (request.eventType !== 0) query = query.where("event_type", "=", typeWords.word(request.eventType));
    if (from !== null) query = query.where("occurred_at", ">=", from);
    if (to !== null) query = query.where("occurred_at", "<", to);
    const { rows, nextPageToken } = page.cut(await query.execute(), ({ id }) => [id]);
    return create(ListSessionEventsResponseSchema, {
      nextPageToken,
      sessionEvents: rows.map((row) =>
        create(SessionEventSchema, {
          id: BigInt(row.id),
          nodeId: BigInt(row.node_id),
          userId: BigInt(row.account_id),
          subscriptionId: BigInt(row.subscription_id ?? 0),
          nodeProtocolId: BigInt(row.node_protocol_id ?? 0),
          protocol: protocolWords.value(row.protocol),
          eventType: typeWords.value(row.event_type),
          occurredAt: timeOf(row.occurred_at),
          ipAddress: row.ip_address,
          sessionId: row.session_id,
        }),
      ),
    });
  };
}

const typeWords = wordsOf(SessionEventTypeSchema);
