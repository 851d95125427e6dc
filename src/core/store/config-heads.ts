import type { Transaction } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import type { ConfigHead } from "../domain/config-store.ts";
import type { CoreSchema } from "./schema.ts";

const topic = "config-published";

/** Tells all replicas, when `tx` commits, that these nodes have newer revisions. */
export async function tellPublished(
  database: Database<CoreSchema>,
  nodeIds: readonly number[],
  tx: Transaction<CoreSchema>,
): Promise<void> {
  if (nodeIds.length > 0) await database.events.publish(topic, nodeIds.join(","), tx);
}

/** Calls `moved` with nodes that have newer revisions; without any when some were missed. */
export function onPublished(
  database: Database<CoreSchema>,
  moved: (nodeIds: readonly number[] | undefined) => void,
): { close(): void } {
  return database.events.subscribe(topic, {
    event: (payload) => moved(payload?.split(",").map(Number)),
    resync: () => moved(undefined),
  });
}

/** The newest revisions of nodes; nodes without one are left out. */
export async function readHeads(
  { db }: Database<CoreSchema>,
  nodeIds: readonly number[],
): Promise<Map<number, ConfigHead>> {
  const heads = new Map<number, ConfigHead>();
  for (let at = 0; at < nodeIds.length; at += idsAtOnce) {
    const rows = await db
      .selectFrom("node")
      .innerJoin("revision", (join) =>
        join.onRef("revision.node_id", "=", "node.id").onRef("revision.revision", "=", "node.desired_revision"),
      )
      .select(["node.id", "node.protocol_version", "revision.revision", "revision.digest"])
      .where("node.id", "in", nodeIds.slice(at, at + idsAtOnce))
      .execute();
    for (const { id, revision, digest, protocol_version } of rows) {
      heads.set(id, { revision, digest, protocolVersion: protocol_version });
    }
  }
  return heads;
}

const idsAtOnce = 500;
