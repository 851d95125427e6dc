import type { Selectable } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import { type OperatorKey, type OperatorKeyStore, operatorScopes } from "../domain/operator-keys.ts";
import type { CoreSchema } from "./schema.ts";
import { topics } from "./topics.ts";

/** The keys of operators in the database. */
export function createOperatorKeyStore({ db, transaction, events }: Database<CoreSchema>): OperatorKeyStore {
  const columns = ["id", "name", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at"] as const;
  return {
    async find(hash) {
      const row = await db.selectFrom("operator_key").select(columns).where("hash", "=", hash).executeTakeFirst();
      return row && keyOf(row);
    },
    async add(key) {
      const { id } = await db.insertInto("operator_key").values(rowOf(key)).returning("id").executeTakeFirstOrThrow();
      return id;
    },
    addFirst(key) {
      return transaction(async (tx) => {
        const any = await tx.selectFrom("operator_key").select("id").limit(1).executeTakeFirst();
        if (any === undefined) await tx.insertInto("operator_key").values(rowOf(key)).execute();
        return any === undefined;
      });
    },
    async list() {
      const rows = await db.selectFrom("operator_key").select(columns).orderBy("id").execute();
      return rows.map(keyOf);
    },
    async use(id, at) {
      await db.updateTable("operator_key").set({ last_used_at: at }).where("id", "=", id).execute();
    },
    revoke(id, at) {
      return transaction(async (tx) => {
        const revoked = await tx
          .updateTable("operator_key")
          .set(({ fn, val }) => ({ revoked_at: fn.coalesce("revoked_at", val(at)) }))
          .where("id", "=", id)
          .executeTakeFirst();
        await events.publish(topics.operatorKeys, "", tx);
        return revoked.numUpdatedRows > 0n;
      });
    },
  };
}

function rowOf({ name, hash, scopes, createdAt, expiresAt }: Parameters<OperatorKeyStore["add"]>[0]) {
  return { name, hash, scopes: JSON.stringify(scopes), created_at: createdAt, expires_at: expiresAt };
}

function keyOf(row: Omit<Selectable<CoreSchema["operator_key"]>, "hash">): OperatorKey {
  const scopes: unknown = JSON.parse(row.scopes);
  return {
    id: row.id,
    name: row.name,
    // A scope that a newer version has given opens nothing here.
    scopes: operatorScopes.filter((scope) => Array.isArray(scopes) && scopes.includes(scope)),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
    revokedAt: row.revoked_at,
  };
}
