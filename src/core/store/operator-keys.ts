import type { Database } from "../../platform/storage/database.ts";
import { type OperatorKeyStore, operatorScopes } from "../domain/operator-keys.ts";
import type { CoreSchema } from "./schema.ts";

/** The keys of operators in the database. */
export function createOperatorKeyStore({ db }: Pick<Database<CoreSchema>, "db">): OperatorKeyStore {
  return {
    async find(hash) {
      const row = await db
        .selectFrom("operator_key")
        .select(["id", "scopes", "expires_at", "revoked_at"])
        .where("hash", "=", hash)
        .executeTakeFirst();
      if (row === undefined) return undefined;
      const scopes: unknown = JSON.parse(row.scopes);
      return {
        id: row.id,
        // A scope that a newer version has given opens nothing here.
        scopes: operatorScopes.filter((scope) => Array.isArray(scopes) && scopes.includes(scope)),
        expiresAt: row.expires_at,
        revokedAt: row.revoked_at,
      };
    },
    async use(id, at) {
      await db.updateTable("operator_key").set({ last_used_at: at }).where("id", "=", id).execute();
    },
  };
}
