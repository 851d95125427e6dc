import { sql, type Transaction } from "kysely";
import type { Database } from "../../../platform/storage/database.ts";
import type { StreamState } from "../../domain/usage/batch-order.ts";
import type { StreamKey } from "../../domain/usage/usage-store.ts";
import type { CoreSchema } from "../schema.ts";

/** How far the numbered batches of nodes have come. */
export function createStreams(database: Database<CoreSchema>) {
  // Takes the row, or the place where it will be, until the transaction ends: replicas that are sent the same batch at
  // once book it one after another.
  const take = database.prepare((db, { nodeId, kind, epoch }: StreamKey) =>
    db
      .insertInto("node_stream")
      .values({ node_id: nodeId, kind, epoch, last_seq: 0n, digests: new Uint8Array(), updated_at: 0 })
      .onConflict((conflict) =>
        conflict.columns(["node_id", "kind", "epoch"]).doUpdateSet({ epoch: sql.ref("excluded.epoch") }),
      )
      .returning(["last_seq", "digests", "updated_at"]),
  );
  const advance = database.prepare(
    (db, { nodeId, kind, epoch, lastSeq, digests, updatedAt }: StreamKey & StreamState) =>
      db
        .updateTable("node_stream")
        .set({ last_seq: lastSeq, digests, updated_at: updatedAt })
        .where("node_id", "=", nodeId)
        .where("kind", "=", kind)
        .where("epoch", "=", epoch),
  );
  return {
    async find(key: StreamKey, tx: Transaction<CoreSchema>): Promise<StreamState | undefined> {
      const row = await take.first(key, tx);
      if (row === undefined || row.last_seq === 0n) return undefined;
      return { lastSeq: row.last_seq, digests: row.digests, updatedAt: row.updated_at };
    },
    async advance(key: StreamKey, state: StreamState, tx: Transaction<CoreSchema>): Promise<void> {
      await advance.run({ ...key, ...state }, tx);
    },
    async noteGap(
      { nodeId, kind, epoch }: StreamKey,
      { from, to }: { readonly from: bigint; readonly to: bigint },
      now: number,
      tx: Transaction<CoreSchema>,
    ): Promise<void> {
      await tx
        .insertInto("node_stream_gap")
        .values({ node_id: nodeId, kind, epoch, from_seq: from, to_seq: to, noted_at: now })
        .execute();
    },
  };
}
