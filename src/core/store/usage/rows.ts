import type { Transaction } from "kysely";
import { prepareBulk } from "../../../platform/storage/bulk.ts";
import type { InboundTotal, SessionRow, UsageRow } from "../../domain/usage/usage-store.ts";
import type { CoreSchema } from "../schema.ts";
import { added } from "./saturating.ts";

/** The rows that reports leave. */
export function createRows() {
  const addUsage = prepareBulk<CoreSchema>({
    columns: {
      minute: "integer",
      node_id: "integer",
      node_protocol_id: "integer",
      account_id: "integer",
      subscription_id: "integer",
      link_uuid: "text",
      up: "integer",
      down: "integer",
      late: "integer",
      coarse: "integer",
    },
    alike: ["minute", "node_id", "link_uuid", "late", "coarse"],
    text: (rows) => `
      insert into usage_minute (
        minute, node_id, node_protocol_id, account_id, subscription_id, link_uuid, bytes_up, bytes_down, late, coarse
      )
      select
        v.minute, v.node_id, v.node_protocol_id, v.account_id, v.subscription_id, v.link_uuid, v.up, v.down, v.late,
        v.coarse
      from ${rows} where true
      on conflict (node_id, minute, node_protocol_id, account_id, subscription_id, link_uuid) do update set
        bytes_up = ${added("usage_minute.bytes_up", "excluded.bytes_up")},
        bytes_down = ${added("usage_minute.bytes_down", "excluded.bytes_down")},
        late = ${higher("late")},
        coarse = ${higher("coarse")}`,
  });
  const addInbounds = prepareBulk<CoreSchema>({
    columns: {
      node_id: "integer",
      day: "integer",
      node_protocol_id: "integer",
      up: "integer",
      down: "integer",
      users: "integer",
    },
    text: (rows) => `
      insert into inbound_day (node_id, day, node_protocol_id, bytes_up, bytes_down, user_bytes)
      select v.node_id, v.day, v.node_protocol_id, v.up, v.down, v.users from ${rows} where true
      on conflict (node_id, day, node_protocol_id) do update set
        bytes_up = ${added("inbound_day.bytes_up", "excluded.bytes_up")},
        bytes_down = ${added("inbound_day.bytes_down", "excluded.bytes_down")},
        user_bytes = ${added("inbound_day.user_bytes", "excluded.user_bytes")}`,
  });
  const addSessionEvents = prepareBulk<CoreSchema>({
    columns: {
      node_id: "integer",
      account_id: "integer",
      subscription_id: "integer",
      node_protocol_id: "integer",
      protocol: "text",
      event_type: "text",
      occurred_at: "integer",
      ip_address: "text",
      session_id: "text",
    },
    text: (rows) => `
      insert into session_event (
        node_id, account_id, subscription_id, node_protocol_id, protocol, event_type, occurred_at, ip_address, session_id
      )
      select
        v.node_id, v.account_id, v.subscription_id, v.node_protocol_id, v.protocol, v.event_type, v.occurred_at,
        v.ip_address, v.session_id
      from ${rows}`,
  });
  const addQuarantined = prepareBulk<CoreSchema>({
    columns: { node_id: "integer", kind: "text", reason: "text", entry: "text", received_at: "integer" },
    text: (rows) => `
      insert into quarantined_entry (node_id, kind, reason, entry, received_at)
      select v.node_id, v.kind, v.reason, v.entry, v.received_at from ${rows}`,
  });
  return {
    async addUsage(nodeId: number, rows: readonly UsageRow[], tx: Transaction<CoreSchema>): Promise<void> {
      const values: unknown[] = [];
      for (const row of rows) {
        values.push(row.minute, nodeId, row.nodeProtocolId, row.accountId, row.subscriptionId, row.linkUuid);
        values.push(row.bytesUp, row.bytesDown, row.late, row.coarse);
      }
      await addUsage.run(values, tx);
    },
    async addInbounds(
      nodeId: number,
      day: number,
      inbounds: readonly InboundTotal[],
      tx: Transaction<CoreSchema>,
    ): Promise<void> {
      await addInbounds.run(
        inbounds.flatMap(({ nodeProtocolId, bytesUp, bytesDown, userBytes }) => [
          ...[nodeId, day, nodeProtocolId, bytesUp, bytesDown, userBytes],
        ]),
        tx,
      );
    },
    async addSessionEvents(nodeId: number, events: readonly SessionRow[], tx: Transaction<CoreSchema>): Promise<void> {
      const values: unknown[] = [];
      for (const event of events) {
        values.push(nodeId, event.accountId, event.subscriptionId, event.nodeProtocolId, event.protocol);
        values.push(event.eventType, event.occurredAt, event.ipAddress, event.sessionId);
      }
      await addSessionEvents.run(values, tx);
    },
    async addQuarantined(values: readonly unknown[], tx: Transaction<CoreSchema>): Promise<void> {
      await addQuarantined.run(values, tx);
    },
  };
}

/** SQL for the higher of what is there and what is added, which the engines have different functions for. */
function higher(column: string): string {
  return `case when usage_minute.${column} > excluded.${column} then usage_minute.${column} else excluded.${column} end`;
}
