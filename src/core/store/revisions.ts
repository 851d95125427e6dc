import type { Transaction } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import type { CoreSchema } from "./schema.ts";

/** A config to be published for a node. */
interface NewRevision {
  readonly nodeId: number;
  readonly digest: string;
  readonly content: string;
  readonly reason: string;
}

/** Adds the next revision of each node, at most one a node, and makes it the one that the node shall run. */
export type AddRevisions = (tx: Transaction<CoreSchema>, added: readonly NewRevision[], now: number) => Promise<void>;

/** Makes {@link AddRevisions}. Replicas that add revisions of one node at a time wait for each other at its row. */
export function createAddRevisions(database: Database<CoreSchema>): AddRevisions {
  const addBlob = database.prepare<{ digest: string; content: string }, never>((db, { digest, content }) =>
    db
      .insertInto("config_blob")
      .values({ digest, config: content })
      .onConflict((conflict) => conflict.column("digest").doNothing()),
  );
  const addRevision = database.prepare<
    { nodeId: number; revision: number; digest: string; now: number; reason: string },
    never
  >((db, { nodeId, revision, digest, now, reason }) =>
    db.insertInto("revision").values({ node_id: nodeId, revision, digest, created_at: now, reason }),
  );
  return async (tx, added, now) => {
    if (added.length === 0) return;
    const numbered = await tx
      .updateTable("node")
      .set(({ eb }) => ({ desired_revision: eb("desired_revision", "+", 1), sync_status: "pending" }))
      .where(
        "id",
        "in",
        added.map(({ nodeId }) => nodeId),
      )
      .returning(["id", "desired_revision"])
      .execute();
    const revisions = new Map(numbered.map(({ id, desired_revision }) => [id, desired_revision]));
    const rows = added.flatMap(({ nodeId, ...rest }) => {
      const revision = revisions.get(nodeId);
      return revision === undefined ? [] : [{ nodeId, revision, now, ...rest }];
    });
    await addBlob.runMany(rows, tx);
    await addRevision.runMany(rows, tx);
  };
}
