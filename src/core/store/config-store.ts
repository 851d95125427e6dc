import type { Database } from "../../platform/storage/database.ts";
import type { ConfigStore } from "../domain/config-store.ts";
import type { RevisionOutcome } from "../domain/sync-status.ts";
import { recordAudit } from "./audit.ts";
import { onPublished, readHeads } from "./config-heads.ts";
import type { CoreSchema } from "./schema.ts";

const watchTopic = "config-watch";

/** Keeps revisions, and what nodes report of them. */
export function createConfigStore(database: Database<CoreSchema>): ConfigStore {
  const { db, events } = database;
  const readCommitted = { isolation: "read committed" } as const;
  const contentOf = database.prepare((build, { digest }: { digest: string }) =>
    build.selectFrom("config_blob").select("config").where("digest", "=", digest),
  );
  return {
    heads: (nodeIds) => readHeads(database, nodeIds),
    content: async (digest) => (await contentOf.first({ digest }))?.config,
    async digestOf(nodeId, revision) {
      const row = await db
        .selectFrom("revision")
        .select("digest")
        .where("node_id", "=", nodeId)
        .where("revision", "=", revision)
        .executeTakeFirst();
      return row?.digest;
    },
    changeSync: (nodeId, revision, now, change) =>
      database.transaction(async (tx) => {
        // Reads the row as one who is going to write it: reports of one node wait for each other.
        const node = await tx
          .updateTable("node")
          .set(({ ref }) => ({ in_error: ref("in_error") }))
          .where("id", "=", nodeId)
          .returning(["desired_revision", "reported_revision"])
          .executeTakeFirst();
        if (node === undefined) return false;
        const about = revision ?? node.desired_revision;
        const known = await tx
          .selectFrom("revision")
          .select(["digest", "outcome"])
          .where("node_id", "=", nodeId)
          .where("revision", "=", about)
          .executeTakeFirst();
        const { syncStatus, inError, reportedRevision, error, outcome, logged } = change({
          desiredRevision: node.desired_revision,
          reportedRevision: node.reported_revision,
          digest: known?.digest,
          outcome: outcomeOf(known?.outcome),
        });
        if (known !== undefined && outcome !== undefined) {
          await tx
            .updateTable("revision")
            .set({ outcome, outcome_at: now })
            .where("node_id", "=", nodeId)
            .where("revision", "=", about)
            .execute();
        }
        const changed = {
          ...(syncStatus !== undefined && { sync_status: syncStatus }),
          ...(inError !== undefined && { in_error: inError ? 1 : 0 }),
          ...(reportedRevision !== undefined && { reported_revision: reportedRevision }),
          ...(error && {
            ...{ error_code: error.code, error_message: error.message, error_at: now },
            ...{ error_details: error.details, error_occurrences: error.occurrences },
          }),
        };
        if (Object.keys(changed).length > 0)
          await tx.updateTable("node").set(changed).where("id", "=", nodeId).execute();
        const actor = `node:${nodeId}`;
        if (logged !== undefined) await recordAudit(tx, { at: now, actor, target: actor, ...logged });
        return true;
      }, readCommitted),
    onPublished: (moved) => onPublished(database, moved),
    announceWatch: (nodeId, stream) => events.publish(watchTopic, `${nodeId} ${stream}`),
    onWatch: (opened) =>
      events.subscribe(watchTopic, {
        event(payload = "") {
          const [nodeId, stream = ""] = payload.split(" ");
          opened(Number(nodeId), stream);
        },
        // A stream that was opened meanwhile is told by nobody: its node has two, until one ends.
        resync: () => undefined,
      }),
  };
}

function outcomeOf(text = ""): RevisionOutcome {
  return text === "applied" || text === "failed" ? text : "";
}
