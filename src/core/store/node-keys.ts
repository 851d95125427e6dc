import type { Transaction } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import type { NodeCaller, NodeKeyStore } from "../domain/node-keys.ts";
import { recordAudit } from "./audit.ts";
import type { CoreSchema } from "./schema.ts";
import { topics } from "./topics.ts";

/** The keys of nodes in the database. */
export function createNodeKeyStore({ db, prepare, transaction, events }: Database<CoreSchema>): NodeKeyStore {
  const find = prepare<{ hash: Uint8Array }, KeyRow>((db, { hash }) =>
    db
      .selectFrom("node_key")
      .select(["id", "node_id", "first_used_at", "expires_at", "revoked_at"])
      .where("hash", "=", hash),
  );

  return {
    async find(hash) {
      const row = await find.first({ hash });
      return row && keyOf(row);
    },
    async goodAmong(keyIds) {
      const good = new Set<number>();
      for (let at = 0; at < keyIds.length; at += idsAtOnce) {
        const rows = await db
          .selectFrom("node_key")
          .select("id")
          .where("id", "in", keyIds.slice(at, at + idsAtOnce))
          .where("revoked_at", "is", null)
          .execute();
        for (const { id } of rows) good.add(id);
      }
      return good;
    },
    use({ nodeId, keyId }, at) {
      return transaction(async (tx) => {
        const first = await tx
          .updateTable("node_key")
          .set({ first_used_at: at })
          .where("id", "=", keyId)
          .where("first_used_at", "is", null)
          .executeTakeFirst();
        if (first.numUpdatedRows === 0n) return;
        await events.publish(topics.nodeKeys, `${nodeId}`, tx);
        if ((await revoke(tx, nodeId, at, keyId)) === 0n) return;
        await tx.updateTable("node").set({ rotate_key: 0 }).where("id", "=", nodeId).execute();
        await events.publish(topics.nodes, `${nodeId}`, tx);
      });
    },
    rotate({ nodeId, keyId }: NodeCaller, { hash, at, callersEndsAt, unusedSince }) {
      return transaction(async (tx) => {
        const callers = await tx
          .updateTable("node_key")
          .set(({ fn, val }) => ({ expires_at: fn.coalesce("expires_at", val(callersEndsAt)) }))
          .where("id", "=", keyId)
          .where("revoked_at", "is", null)
          .returning("expires_at")
          .executeTakeFirst();
        if (callers === undefined) return undefined;
        await tx
          .updateTable("node_key")
          .set({ revoked_at: at })
          .where("node_id", "=", nodeId)
          .where("first_used_at", "is", null)
          .where("revoked_at", "is", null)
          .where("id", "!=", keyId)
          .where("created_at", "<", unusedSince)
          .execute();
        await tx.insertInto("node_key").values({ node_id: nodeId, hash, created_at: at }).execute();
        await recordAudit(tx, { at, actor: `node:${nodeId}`, action: "node.rotate-key", target: `node:${nodeId}` });
        await events.publish(topics.nodeKeys, `${nodeId}`, tx);
        return callers.expires_at ?? callersEndsAt;
      });
    },
    revokeAll(nodeId, at) {
      return transaction(async (tx) => {
        await revoke(tx, nodeId, at);
        await events.publish(topics.nodeKeys, `${nodeId}`, tx);
      });
    },
  };
}

interface KeyRow {
  id: number;
  node_id: number;
  first_used_at: number | null;
  expires_at: number | null;
  revoked_at: number | null;
}

function keyOf(row: KeyRow) {
  return {
    nodeId: row.node_id,
    keyId: row.id,
    firstUsedAt: row.first_used_at,
    expiresAt: row.expires_at,
    revokedAt: row.revoked_at,
  };
}

/** Revokes the keys of a node, but for one. Returns how many. */
async function revoke(tx: Transaction<CoreSchema>, nodeId: number, at: number, but = 0): Promise<bigint> {
  const { numUpdatedRows } = await tx
    .updateTable("node_key")
    .set({ revoked_at: at })
    .where("node_id", "=", nodeId)
    .where("id", "!=", but)
    .where("revoked_at", "is", null)
    .executeTakeFirst();
  return numUpdatedRows;
}

const idsAtOnce = 500;
