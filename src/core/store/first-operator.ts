import type { Kysely } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import type { FirstOperatorStore } from "../first-operator.ts";
import type { CoreSchema } from "./schema.ts";

/** Where the first operator's key is put. */
export function createFirstOperatorStore({ db, transaction }: Database<CoreSchema>): FirstOperatorStore {
  const hasKey = async (by: Kysely<CoreSchema>) =>
    (await by.selectFrom("operator_key").select("id").limit(1).executeTakeFirst()) !== undefined;
  return {
    hasOperator: () => hasKey(db),
    addFirst(hash, at) {
      return transaction(async (tx) => {
        if (await hasKey(tx)) return false;
        await tx.insertInto("operator_key").values({ name: "first", hash, scopes: '["*"]', created_at: at }).execute();
        return true;
      });
    },
  };
}
