import { create } from "@bufbuild/protobuf";
import type { Selectable, Transaction } from "kysely";
import {
  type CreateNodeOutboundRequest,
  type DeleteNodeOutboundRequest,
  type ListNodeOutboundsRequest,
  ListNodeOutboundsRequestSchema,
  type ListNodeOutboundsResponse,
  ListNodeOutboundsResponseSchema,
  type NodeOutbound,
  NodeOutboundSchema,
  type UpdateNodeOutboundRequest,
  UpdateNodeOutboundRequestSchema,
} from "../../../../gen/garrison/core/v1/node_outbounds_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { type JsonObject, parseObject } from "../../domain/fleet/json-object.ts";
import { checkOutbound } from "../../domain/fleet/outbound-config.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import { rulesWithOutbound } from "../../domain/fleet/routing.ts";
import { restoreSecrets, withoutSecrets } from "../../domain/fleet/secrets.ts";
import { Invalid, NotNow, Unknown } from "../../domain/fleet/situations.ts";
import { fieldsToChange } from "../../domain/fleet/update-mask.ts";
import type { CoreSchema } from "../schema.ts";
import { changedColumns } from "./changed-columns.ts";
import type { MakeChange } from "./changes.ts";
import { claimTag, routingOf } from "./node-tags.ts";
import { findNode } from "./nodes.ts";
import { beyond, idOf } from "./sql-parts.ts";

/** The ways out of nodes. */
export interface OutboundStore {
  create(actor: string, request: CreateNodeOutboundRequest): Promise<NodeOutbound>;
  get(id: bigint): Promise<NodeOutbound>;
  list(request: ListNodeOutboundsRequest): Promise<ListNodeOutboundsResponse>;
  update(actor: string, request: UpdateNodeOutboundRequest): Promise<NodeOutbound>;
  remove(actor: string, request: DeleteNodeOutboundRequest): Promise<void>;
}

/** The outbounds in the database. */
export function createOutboundStore({ db }: Pick<Database<CoreSchema>, "db">, change: MakeChange): OutboundStore {
  return {
    create: (actor, request) =>
      change(actor, async ({ tx, audit, publish }) => {
        const { id: node_id } = await findNode(tx, request.nodeId);
        const { tag } = request;
        const config = configIn(request.config);
        checkOutbound(config);
        await claimTag(tx, node_id, tag);
        const row = await tx
          .insertInto("node_outbound")
          .values({
            node_id,
            tag,
            position: request.position ?? (await behindAll(tx, node_id)),
            enabled: Number(!request.disabled),
            config: JSON.stringify(config),
          })
          .returningAll()
          .executeTakeFirstOrThrow();
        await audit("node-outbound.create", `node-outbound:${row.id}`, { nodeId: node_id, tag });
        publish({ nodeIds: [node_id] }, `outbound ${tag} created`);
        return outboundOf(row);
      }),

    async get(id) {
      const row = await db.selectFrom("node_outbound").selectAll().where("id", "=", idOf(id)).executeTakeFirst();
      if (row === undefined) throw new Unknown("NODE_OUTBOUND", id);
      return outboundOf(row);
    },

    async list(request) {
      const order = ["node_id", "position", "id"] as const;
      const page = pageOf(ListNodeOutboundsRequestSchema, request, ["number", "number", "number"]);
      let query = db
        .selectFrom("node_outbound")
        .selectAll()
        .orderBy("node_id")
        .orderBy("position")
        .orderBy("id")
        .limit(page.size + 1);
      if (page.after !== undefined) query = query.where(beyond(order, page.after));
      if (request.nodeId !== 0n) query = query.where("node_id", "=", idOf(request.nodeId));
      const { rows, nextPageToken } = page.cut(await query.execute(), (row) => order.map((column) => row[column]));
      return create(ListNodeOutboundsResponseSchema, { nodeOutbounds: rows.map(outboundOf), nextPageToken });
    },

    update: (actor, request) =>
      change(actor, async ({ tx, audit, publish }) => {
        const before = await find(tx, request.id);
        const next = columnsOf(request, before);
        const changed = changedColumns(before, next);
        if (changed.length === 0) return outboundOf(before);
        if (changed.includes("tag") || (changed.includes("enabled") && next.enabled === 0))
          await refuseIfRouted(tx, before);
        if (changed.includes("tag")) await claimTag(tx, before.node_id, next.tag);
        await tx.updateTable("node_outbound").set(next).where("id", "=", before.id).execute();
        await audit("node-outbound.update", `node-outbound:${before.id}`, { nodeId: before.node_id, changed });
        publish({ nodeIds: [before.node_id] }, `outbound ${next.tag} changed`);
        return outboundOf({ ...before, ...next });
      }),

    remove: (actor, { id }) =>
      change(actor, async ({ tx, audit, publish }) => {
        const row = await find(tx, id);
        await refuseIfRouted(tx, row);
        await tx.deleteFrom("node_outbound").where("id", "=", row.id).execute();
        await audit("node-outbound.delete", `node-outbound:${row.id}`, { nodeId: row.node_id, tag: row.tag });
        publish({ nodeIds: [row.node_id] }, `outbound ${row.tag} deleted`);
      }),
  };
}

type OutboundRow = Selectable<CoreSchema["node_outbound"]>;

async function find(tx: Transaction<CoreSchema>, id: bigint): Promise<OutboundRow> {
  const row = await tx.selectFrom("node_outbound").selectAll().where("id", "=", idOf(id)).executeTakeFirst();
  if (row === undefined) throw new Unknown("NODE_OUTBOUND", id);
  return row;
}

async function behindAll(tx: Transaction<CoreSchema>, nodeId: number): Promise<number> {
  const last = await tx
    .selectFrom("node_outbound")
    .select(({ fn }) => fn.max("position").as("position"))
    .where("node_id", "=", nodeId)
    .executeTakeFirst();
  return last?.position == null ? 0 : last.position + 1;
}

async function refuseIfRouted(tx: Transaction<CoreSchema>, { node_id, tag }: OutboundRow): Promise<void> {
  const [rule] = rulesWithOutbound(await routingOf(tx, node_id), tag);
  if (rule === undefined) return;
  throw new NotNow(
    "NODE_OUTBOUND_IN_USE",
    `the node's routing names the outbound ${tag} in ${rule}: change that first`,
  );
}

function configIn(text: string): JsonObject {
  const object = parseObject(text);
  if (object === undefined) throw new Invalid("CONFIG_INVALID", "config: is no JSON object");
  return object;
}

function columnsOf(request: UpdateNodeOutboundRequest, before: OutboundRow) {
  const fields = fieldsToChange(UpdateNodeOutboundRequestSchema, request);
  for (const name of ["tag", "position", "config"] as const) {
    if (fields.has(name) && request[name] === undefined)
      throw new Invalid("FIELD_INVALID", `${name}: an outbound has one`);
  }
  return {
    tag: fields.has("tag") && request.tag ? request.tag : before.tag,
    position: fields.has("position") ? (request.position ?? before.position) : before.position,
    enabled: fields.has("enabled") ? Number(request.enabled ?? false) : before.enabled,
    config: fields.has("config") ? configOf(request.config ?? "", before) : before.config,
  };
}

function configOf(text: string, before: OutboundRow): string {
  const { value, missing } = restoreSecrets(configIn(text), parseObject(before.config) ?? {});
  if (missing.length > 0) {
    throw new Invalid("CONFIG_INVALID", `config: ${missing[0]}: there was no secret at this place to be kept`);
  }
  checkOutbound(value);
  return JSON.stringify(value);
}

function outboundOf(row: OutboundRow): NodeOutbound {
  return create(NodeOutboundSchema, {
    id: BigInt(row.id),
    nodeId: BigInt(row.node_id),
    tag: row.tag,
    position: row.position,
    enabled: row.enabled === 1,
    config: JSON.stringify(withoutSecrets(parseObject(row.config) ?? {})),
    bytesUp: row.traffic_bytes_up,
    bytesDown: row.traffic_bytes_down,
  });
}
