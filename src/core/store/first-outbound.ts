import type { Transaction } from "kysely";
import type { CoreSchema } from "./schema.ts";

/** Gives a node that was just made its first way out, so that what goes out by it is counted. */
export async function addFirstOutbound(tx: Transaction<CoreSchema>, nodeId: number): Promise<void> {
  const config = JSON.stringify({ protocol: "freedom" });
  await tx.insertInto("node_outbound").values({ node_id: nodeId, tag: "direct", position: 0, config }).execute();
}
