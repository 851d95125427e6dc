import { makeCredential } from "../../src/core/domain/hashed-secret.ts";
import type { OperatorScope } from "../../src/core/domain/operator-keys.ts";
import type { CoreSchema } from "../../src/core/store/schema.ts";
import type { Database } from "../../src/platform/storage/database.ts";

/** Makes an API key with scopes. */
export async function addOperatorKey(
  { db }: Pick<Database<CoreSchema>, "db">,
  scopes: readonly OperatorScope[],
  more: { now?: number; expiresAt?: number } = {},
): Promise<{ id: number; key: string }> {
  const { text: key, hash } = makeCredential("ok_");
  const { now = Date.now(), expiresAt = null } = more;
  const row = { name: "test", hash, scopes: JSON.stringify(scopes), created_at: now, expires_at: expiresAt };
  const { id } = await db.insertInto("operator_key").values(row).returning("id").executeTakeFirstOrThrow();
  return { id, key };
}
