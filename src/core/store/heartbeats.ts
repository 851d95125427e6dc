import { prepareBulk } from "../../platform/storage/bulk.ts";
import type { Database } from "../../platform/storage/database.ts";
import type { NodeStanding } from "../domain/heartbeat.ts";
import type { HeartbeatStore } from "../domain/heartbeats.ts";
import { recordAudit } from "./audit.ts";
import type { CoreSchema } from "./schema.ts";

// How often operators are told of a copy that goes on calling.
const toldEveryMs = 3_600_000;

/** The heartbeats of nodes in the database. */
export function createHeartbeatStore({ transaction }: Database<CoreSchema>): HeartbeatStore {
  return {
    async standings(nodeIds) {
      const rows = await transaction((tx) => standings.all(nodeIds, tx), { readOnly: true });
      return rows.map(standingOf);
    },
    async write(notes) {
      const faults = notes.filter(({ faultCode, faultMessage }) => faultCode !== "" || faultMessage !== "");
      const values = notes.flatMap((note) => [
        note.nodeId,
        note.at,
        note.ip,
        note.installId,
        note.agentVersion,
        note.protocolVersion,
        note.capabilities,
        note.observed,
        note.syncStatus,
        note.syncStatusBefore,
        note.desiredRevision,
      ]);
      const faultValues = faults.flatMap(({ nodeId, at, faultCode, faultMessage }) => [
        nodeId,
        at,
        faultCode,
        faultMessage,
      ]);
      await transaction(
        async (tx) => {
          await beats.run(values, tx);
          await troubles.run(faultValues, tx);
        },
        { isolation: "read committed" },
      );
    },
    noteCopy(nodeId, copy, at) {
      return transaction(async (tx) => {
        const told = await tx
          .updateTable("node")
          .set({
            ...{ in_error: 1, error_code: copyCode, error_message: copy.message, error_at: at },
            ...{ error_details: JSON.stringify({ installId: copy.installId }), error_occurrences: 0 },
          })
          .where("id", "=", nodeId)
          .where((where) => where.or([where("error_code", "!=", copyCode), where("error_at", "<", at - toldEveryMs)]))
          .executeTakeFirst();
        if (told.numUpdatedRows === 0n) return;
        const target = `node:${nodeId}`;
        const details = { installId: copy.installId };
        await recordAudit(tx, { at, actor: "core", action: "node.notice-copy", target, details });
      });
    },
  };
}

const copyCode = "NODE_COPIED";

const standings = prepareBulk<CoreSchema, StandingRow>({
  columns: { id: "integer" },
  text: (rows) => `
    select node.id, node.install_id, node.last_seen_at, node.desired_revision, revision.digest, node.sync_status,
      node.rotate_key, node.draining
    from ${rows}
    join node on node.id = v.id
    left join revision on revision.node_id = node.id and revision.revision = node.desired_revision`,
});

const beats = prepareBulk<CoreSchema>({
  columns: {
    id: "integer",
    at: "integer",
    ip: "text",
    install_id: "text",
    agent_version: "text",
    protocol_version: "integer",
    capabilities: "text",
    observed: "text",
    sync_status: "text",
    sync_status_before: "text",
    desired_revision: "integer",
  },
  text: (rows) => `
    update node set
      last_seen_at = v.at,
      ip = case when v.ip = '' or node.ip_pinned = 1 then node.ip else v.ip end,
      install_id = case when v.install_id = '' then node.install_id else v.install_id end,
      agent_version = case when v.agent_version = '' then node.agent_version else v.agent_version end,
      protocol_version = v.protocol_version,
      capabilities = case when v.capabilities = '' then node.capabilities else v.capabilities end,
      observed = v.observed,
      sync_status = case
        when v.sync_status = '' or v.desired_revision <> node.desired_revision then node.sync_status
        when v.sync_status_before <> node.sync_status then node.sync_status
        else v.sync_status end
    from ${rows}
    where node.id = v.id`,
});

const troubles = prepareBulk<CoreSchema>({
  columns: { id: "integer", at: "integer", code: "text", message: "text" },
  text: (rows) => `
    update node set in_error = 1, error_code = v.code, error_message = v.message, error_at = v.at,
      error_details = '', error_occurrences = 0
    from ${rows}
    where node.id = v.id and (node.error_code <> v.code or node.error_message <> v.message)`,
});

interface StandingRow {
  id: number;
  install_id: string;
  last_seen_at: number | null;
  desired_revision: number;
  digest: string | null;
  sync_status: string;
  rotate_key: number;
  draining: number;
}

function standingOf(row: StandingRow): NodeStanding {
  return {
    nodeId: row.id,
    installId: row.install_id,
    lastSeenAt: row.last_seen_at,
    desiredRevision: row.desired_revision,
    desiredDigest: row.digest ?? "",
    syncStatus: row.sync_status,
    rotateKey: row.rotate_key === 1,
    draining: row.draining === 1,
  };
}
