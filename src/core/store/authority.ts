import type { Database } from "../../platform/storage/database.ts";
import type { AuthorityStore } from "../domain/authority.ts";
import type { CoreSchema } from "./schema.ts";

/** Core's authority in the database. */
export function createAuthorityStore({ db }: Pick<Database<CoreSchema>, "db">): AuthorityStore {
  const id = 1; // there is one
  return {
    async load() {
      const row = await db.selectFrom("authority").selectAll().where("id", "=", id).executeTakeFirst();
      return row && { cert: row.certificate, key: row.private_key };
    },
    async keep({ cert, key }, at) {
      await db
        .insertInto("authority")
        .values({ id, certificate: cert, private_key: key, created_at: at })
        .onConflict((conflict) => conflict.column("id").doNothing())
        .execute();
    },
  };
}
