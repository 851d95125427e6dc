import type { Transaction } from "kysely";
import { prepareBulk } from "../../../platform/storage/bulk.ts";
import { sessionChanges } from "../../domain/usage/online-sessions.ts";
import type { SessionRow } from "../../domain/usage/usage-store.ts";
import type { CoreSchema } from "../schema.ts";

/** Keeps who is online by what is told of users coming and going. */
export function createOnlineSessions() {
  const end = prepareBulk<CoreSchema>({
    columns: { node_id: "integer", account_id: "integer", protocol: "text", session_id: "text" },
    text: (rows) => `
      delete from online_session where (node_id, account_id, protocol, session_id) in (
        select v.node_id, v.account_id, v.protocol, v.session_id from ${rows}
      )`,
  });
  const begin = prepareBulk<CoreSchema>({
    columns: {
      node_id: "integer",
      account_id: "integer",
      subscription_id: "integer",
      node_protocol_id: "integer",
      protocol: "text",
      since: "integer",
      ip_address: "text",
      session_id: "text",
    },
    text: (rows) => `
      insert into online_session (
        node_id, account_id, subscription_id, node_protocol_id, protocol, since, ip_address, session_id
      )
      select
        v.node_id, v.account_id, v.subscription_id, v.node_protocol_id, v.protocol, v.since, v.ip_address, v.session_id
      from ${rows} where true
      on conflict (node_id, account_id, protocol, session_id) do update set
        ip_address = case when excluded.ip_address = '' then online_session.ip_address else excluded.ip_address end`,
  });
  return {
    async follow(nodeId: number, events: readonly SessionRow[], tx: Transaction<CoreSchema>): Promise<void> {
      const { went, came } = sessionChanges(events);
      await end.run(
        went.flatMap(({ accountId, protocol, sessionId }) => [nodeId, accountId, protocol, sessionId]),
        tx,
      );
      await begin.run(
        came.flatMap((event) => [
          ...[nodeId, event.accountId, event.subscriptionId, event.nodeProtocolId],
          ...[event.protocol, event.occurredAt, event.ipAddress, event.sessionId],
        ]),
        tx,
      );
    },
  };
}
