import type { Transaction } from "kysely";
import { Unknown } from "../../domain/fleet/situations.ts";
import type { CoreSchema } from "../schema.ts";
import { idOf } from "./sql-parts.ts";

/**
 * Sets which protocols of nodes a subscription names: these and no others. Throws {@link Unknown} when there is none of
 * such an id.
 */
export async function setNodeProtocols(
  tx: Transaction<CoreSchema>,
  subscriptionId: number,
  protocolIds: readonly bigint[],
): Promise<void> {
  await tx.deleteFrom("subscription_protocol").where("subscription_id", "=", subscriptionId).execute();
  for (let at = 0; at < protocolIds.length; at += rowsAtOnce) {
    const some = protocolIds.slice(at, at + rowsAtOnce);
    const known = await tx.selectFrom("node_protocol").select("id").where("id", "in", some.map(idOf)).execute();
    const ids = new Set(known.map((row) => row.id));
    const missing = some.find((each) => !ids.has(idOf(each)));
    if (missing !== undefined) throw new Unknown("NODE_PROTOCOL", missing);
    const rows = known.map((row) => ({ subscription_id: subscriptionId, node_protocol_id: row.id }));
    await tx.insertInto("subscription_protocol").values(rows).execute();
  }
}

// A statement takes only so many values.
const rowsAtOnce = 500;
