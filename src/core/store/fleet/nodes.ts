import { create } from "@bufbuild/protobuf";
import type { Transaction } from "kysely";
import {
  type CreateNodeRequest,
  type DeleteNodeRequest,
  type EnrolmentCode,
  type ListNodesRequest,
  ListNodesRequestSchema,
  type ListNodesResponse,
  ListNodesResponseSchema,
  type Node,
  SyncStatusSchema,
  type UpdateNodeRequest,
  UpdateNodeRequestSchema,
} from "../../../../gen/garrison/core/v1/nodes_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { checkNodeAddresses } from "../../domain/fleet/node-addresses.ts";
import { silenceLimits } from "../../domain/fleet/node-state.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import { Invalid, NotNow, Unknown } from "../../domain/fleet/situations.ts";
import { fieldsToChange } from "../../domain/fleet/update-mask.ts";
import { addFirstOutbound } from "../first-outbound.ts";
import type { CoreSchema } from "../schema.ts";
import { topics } from "../topics.ts";
import { changedColumns } from "./changed-columns.ts";
import type { MakeChange } from "./changes.ts";
import type { EnrolmentCodeStore } from "./enrolment-codes.ts";
import { wordsOf } from "./message-values.ts";
import { nameTaken } from "./name-taken.ts";
import { type NodeRow, nodeOf, whereState } from "./node-message.ts";
import { anyContains, beyond, idOf } from "./sql-parts.ts";

/** The nodes of the fleet. */
export interface NodeStore {
  create(
    actor: string,
    request: CreateNodeRequest,
  ): Promise<{ node: Node; enrolmentCode: EnrolmentCode; code: string }>;
  get(id: bigint): Promise<Node>;
  list(request: ListNodesRequest): Promise<ListNodesResponse>;
  update(actor: string, request: UpdateNodeRequest): Promise<Node>;
  remove(actor: string, request: DeleteNodeRequest): Promise<void>;
  /** Asks the node to replace its key. */
  rotateKey(actor: string, id: bigint): Promise<Node>;
  /** Ends all keys of the node. */
  revokeKeys(actor: string, id: bigint): Promise<Node>;
}

/** Options of {@link createNodeStore}. */
export interface NodeStoreOptions {
  database: Pick<Database<CoreSchema>, "db">;
  change: MakeChange;
  codes: EnrolmentCodeStore;
  /** How often nodes send heartbeats, by which their state is told. */
  heartbeatMs: number;
  /** Milliseconds since 1970. */
  now: () => number;
}

// A node that was heard of so recently is in use.
const inUseMs = 5 * 60_000;

/** The nodes in the database. */
export function createNodeStore({ database: { db }, change, codes, heartbeatMs, now }: NodeStoreOptions): NodeStore {
  const show = (row: NodeRow) => nodeOf(row, now(), heartbeatMs);
  return {
    create: (actor, request) =>
      change(actor, async (made) => {
        const { name, host, ip, domain, region, rateLimitBps } = request;
        checkNodeAddresses(request);
        const row = await made.tx
          .insertInto("node")
          .values({
            name,
            host: host || domain || ip,
            ip,
            ip_pinned: Number(ip !== ""),
            domain,
            region,
            rate_limit_bps: Number(rateLimitBps) || null,
            created_at: made.at,
          })
          .returningAll()
          .executeTakeFirstOrThrow()
          .catch(nameTaken("node", name));
        await addFirstOutbound(made.tx, row.id);
        await made.audit("node.create", `node:${row.id}`, { name });
        made.publish({ nodeIds: [row.id] }, `node ${row.id} created`);
        const { codeTtlSeconds: ttlSeconds } = request;
        return { node: show(row), ...(await codes.make(made, { nodeId: row.id, region: "", ttlSeconds })) };
      }),

    async get(id) {
      const row = await db.selectFrom("node").selectAll().where("id", "=", idOf(id)).executeTakeFirst();
      if (row === undefined) throw new Unknown("NODE", id);
      return show(row);
    },

    async list(request) {
      const page = pageOf(ListNodesRequestSchema, request, ["number"]);
      let query = db
        .selectFrom("node")
        .selectAll()
        .orderBy("id")
        .limit(page.size + 1);
      if (page.after !== undefined) query = query.where(beyond(["id"], page.after));
      if (request.region !== "") query = query.where("region", "=", request.region);
      if (request.query !== "") query = query.where(anyContains(["name", "host", "ip", "domain"], request.query));
      if (request.syncStatus !== 0) query = query.where("sync_status", "=", syncWords.word(request.syncStatus));
      if (request.state !== 0) query = query.where(whereState(request.state, silenceLimits(now(), heartbeatMs)));
      const { rows, nextPageToken } = page.cut(await query.execute(), ({ id }) => [id]);
      return create(ListNodesResponseSchema, { nodes: rows.map(show), nextPageToken });
    },

    update: (actor, request) =>
      change(actor, async ({ tx, at, audit, publish, announce }) => {
        const before = await findNode(tx, request.id);
        const next = columnsOf(request, before, at);
        const changed = changedColumns(before, next);
        if (changed.length === 0) return show(before);
        await tx
          .updateTable("node")
          .set(next)
          .where("id", "=", before.id)
          .execute()
          .catch(nameTaken("node", next.name));
        await audit("node.update", `node:${before.id}`, { changed });
        await announce(topics.nodes, `${before.id}`);
        if (next.disabled !== before.disabled) {
          publish({ nodeIds: [before.id] }, `node ${before.id} ${next.disabled === 1 ? "disabled" : "enabled"}`);
        }
        if (next.draining !== before.draining) {
          publish({ nodeIds: [before.id] }, `node ${before.id} is ${next.draining === 1 ? "" : "no longer "}draining`);
        }
        return show({ ...before, ...next });
      }),

    remove: (actor, { id, force }) =>
      change(actor, async ({ tx, at, audit, announce }) => {
        const row = await findNode(tx, id);
        if (!force && row.last_seen_at !== null && row.last_seen_at > at - inUseMs) {
          throw new NotNow(
            "NODE_IN_USE",
            "the node was heard of within the last five minutes: stop its agent first, or say force",
          );
        }
        await tx.deleteFrom("node").where("id", "=", row.id).execute();
        await audit("node.delete", `node:${row.id}`, { name: row.name });
        await announce(topics.nodeKeys, `${row.id}`);
        await announce(topics.nodes, `${row.id}`);
      }),

    rotateKey: (actor, id) =>
      change(actor, async ({ tx, audit, announce }) => {
        const row = await findNode(tx, id);
        await tx.updateTable("node").set({ rotate_key: 1 }).where("id", "=", row.id).execute();
        await audit("node.request-key-rotation", `node:${row.id}`);
        await announce(topics.nodes, `${row.id}`);
        return show({ ...row, rotate_key: 1 });
      }),

    revokeKeys: (actor, id) =>
      change(actor, async ({ tx, at, audit, announce }) => {
        const row = await findNode(tx, id);
        await tx
          .updateTable("node_key")
          .set({ revoked_at: at })
          .where("node_id", "=", row.id)
          .where("revoked_at", "is", null)
          .execute();
        // Nor does the code that the node has enrolled by bring another key, as it would after a lost answer.
        await tx
          .updateTable("enrolment_code")
          .set({ used_by_install_id: "" })
          .where("used_by_node_id", "=", row.id)
          .execute();
        await audit("node.revoke-keys", `node:${row.id}`);
        await announce(topics.nodeKeys, `${row.id}`);
        return show(row);
      }),
  };
}

/** A node in a transaction. Throws {@link Unknown}. */
export async function findNode(tx: Transaction<CoreSchema>, id: bigint): Promise<NodeRow> {
  const row = await tx.selectFrom("node").selectAll().where("id", "=", idOf(id)).executeTakeFirst();
  if (row === undefined) throw new Unknown("NODE", id);
  return row;
}

function columnsOf(request: UpdateNodeRequest, before: NodeRow, at: number) {
  const fields = fieldsToChange(UpdateNodeRequestSchema, request);
  if (fields.has("name") && !request.name) throw new Invalid("FIELD_INVALID", "name: a node has one");
  checkNodeAddresses({
    ...(fields.has("host") && { host: request.host }),
    ...(fields.has("ip") && { ip: request.ip }),
  });
  const ip = fields.has("ip") ? (request.ip ?? before.ip) : before.ip;
  const draining = fields.has("draining") ? (request.draining ?? false) : before.draining === 1;
  const domain = fields.has("domain") ? (request.domain ?? "") : before.domain;
  return {
    name: request.name && fields.has("name") ? request.name : before.name,
    host: fields.has("host") ? request.host || domain || ip : before.host,
    ip,
    // The address itself stays until a heartbeat tells another one.
    ip_pinned: fields.has("ip") ? Number(request.ip !== undefined) : before.ip_pinned,
    domain,
    region: fields.has("region") ? (request.region ?? "") : before.region,
    disabled: fields.has("enabled") ? Number(!request.enabled) : before.disabled,
    draining: Number(draining),
    draining_since: draining ? (before.draining_since ?? at) : null,
    rate_limit_bps: fields.has("rateLimitBps") ? Number(request.rateLimitBps ?? 0) || null : before.rate_limit_bps,
  };
}

const syncWords = wordsOf(SyncStatusSchema);
