import { create } from "@bufbuild/protobuf";
import type { Kysely, Selectable } from "kysely";
import {
  type CompareRevisionsRequest,
  type CompareRevisionsResponse,
  CompareRevisionsResponseSchema,
  type GetRevisionRequest,
  type GetRevisionResponse,
  GetRevisionResponseSchema,
  type ListRevisionsRequest,
  ListRevisionsRequestSchema,
  type ListRevisionsResponse,
  ListRevisionsResponseSchema,
  type Revision,
  RevisionOutcomeSchema,
  RevisionSchema,
  type RollBackNodeRequest,
} from "../../../../gen/garrison/core/v1/revisions_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { createVeil } from "../../domain/fleet/config-difference.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import { withoutSecrets } from "../../domain/fleet/secrets.ts";
import { NotNow, Unknown } from "../../domain/fleet/situations.ts";
import { tellPublished } from "../config-heads.ts";
import { createAddRevisions } from "../revisions.ts";
import type { CoreSchema } from "../schema.ts";
import type { Change, MakeChange } from "./changes.ts";
import { timeOf, wordsOf } from "./message-values.ts";
import { findNode } from "./nodes.ts";
import { shownChanges } from "./revision-changes.ts";
import { beyond, idOf } from "./sql-parts.ts";

/** The configs that were published for nodes. */
export interface RevisionStore {
  list(request: ListRevisionsRequest): Promise<ListRevisionsResponse>;
  get(request: GetRevisionRequest): Promise<GetRevisionResponse>;
  compare(request: CompareRevisionsRequest): Promise<CompareRevisionsResponse>;
  rollBack(actor: string, request: RollBackNodeRequest): Promise<Revision>;
  /** Publishes the newest revision of a node once more. */
  republish(actor: string, nodeId: bigint): Promise<void>;
}

/** The revisions in the database. */
export function createRevisionStore(database: Database<CoreSchema>, change: MakeChange): RevisionStore {
  const { db } = database;
  const addRevisions = createAddRevisions(database);
  const publish = async ({ tx, at }: Change, row: WholeRevision, reason: string) => {
    const { node_id: nodeId, digest, config: content } = row;
    await addRevisions(tx, [{ nodeId, digest, content, reason }], at);
    await tellPublished(database, [nodeId], tx);
  };

  return {
    async list(request) {
      const node_id = idOf(request.nodeId);
      const node = await db.selectFrom("node").select("id").where("id", "=", node_id).executeTakeFirst();
      if (node === undefined) throw new Unknown("NODE", request.nodeId);
      const page = pageOf(ListRevisionsRequestSchema, request, ["number"]);
      let query = db
        .selectFrom("revision")
        .selectAll()
        .where("node_id", "=", node_id)
        .orderBy("revision", "desc")
        .limit(page.size + 1);
      if (page.after !== undefined) query = query.where(beyond(["revision"], page.after, "desc"));
      const { rows, nextPageToken } = page.cut(await query.execute(), ({ revision }) => [revision]);
      return create(ListRevisionsResponseSchema, { revisions: rows.map(revisionOf), nextPageToken });
    },

    async get({ nodeId, revision }) {
      const row = await find(db, nodeId, revision);
      const config = createVeil()(JSON.stringify(withoutSecrets(JSON.parse(row.config))));
      return create(GetRevisionResponseSchema, { revision: revisionOf(row), config });
    },

    async compare({ nodeId, revision, base }) {
      const newer = await find(db, nodeId, revision);
      const older = await find(db, nodeId, base || revision - 1n);
      return create(CompareRevisionsResponseSchema, {
        base: revisionOf(older),
        revision: revisionOf(newer),
        ...shownChanges(JSON.parse(older.config), JSON.parse(newer.config)),
      });
    },

    rollBack: (actor, { nodeId, revision, reason }) =>
      change(actor, async (made) => {
        const row = await find(made.tx, nodeId, revision);
        const { desired_revision: newest } = await findNode(made.tx, nodeId);
        if (newest === row.revision) {
          throw new NotNow("REVISION_CURRENT", "this is the newest revision: there is nothing to go back to");
        }
        const why = reason === "" ? "" : `: ${reason}`;
        await publish(made, row, `rolled back to revision ${row.revision}${why}`);
        await made.audit("node.roll-back", `node:${row.node_id}`, { to: row.revision, revision: newest + 1, reason });
        return revisionOf(await find(made.tx, nodeId, BigInt(newest + 1)));
      }),

    republish: (actor, nodeId) =>
      change(actor, async (made) => {
        const { id, desired_revision: newest } = await findNode(made.tx, nodeId);
        if (newest === 0) throw new NotNow("CONFIG_MISSING", "nothing was published for this node yet: wait a moment");
        await publish(made, await find(made.tx, nodeId, BigInt(newest)), "synced on demand");
        await made.audit("node.sync", `node:${id}`, { revision: newest + 1 });
        made.publish({ nodeIds: [id] }, "synced on demand");
      }),
  };
}

type RevisionRow = Selectable<CoreSchema["revision"]>;
type WholeRevision = RevisionRow & { readonly config: string };

async function find(db: Kysely<CoreSchema>, nodeId: bigint, revision: bigint): Promise<WholeRevision> {
  const row = await db
    .selectFrom("revision")
    .innerJoin("config_blob", "config_blob.digest", "revision.digest")
    .selectAll("revision")
    .select("config")
    .where("node_id", "=", idOf(nodeId))
    .where("revision", "=", idOf(revision))
    .executeTakeFirst();
  if (row === undefined) throw new Unknown("REVISION", revision);
  return row;
}

const outcomeWords = wordsOf(RevisionOutcomeSchema);

function revisionOf(row: RevisionRow): Revision {
  return create(RevisionSchema, {
    nodeId: BigInt(row.node_id),
    revision: BigInt(row.revision),
    digest: row.digest,
    reason: row.reason,
    createdAt: timeOf(row.created_at),
    outcome: outcomeWords.value(row.outcome),
    outcomeAt: timeOf(row.outcome_at),
  });
}
