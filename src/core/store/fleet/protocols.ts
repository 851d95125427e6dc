import { create } from "@bufbuild/protobuf";
import type { Kysely, Transaction } from "kysely";
import {
  type CreateNodeProtocolRequest,
  type DeleteNodeProtocolRequest,
  type ListNodeProtocolsRequest,
  ListNodeProtocolsRequestSchema,
  type ListNodeProtocolsResponse,
  ListNodeProtocolsResponseSchema,
  type NodeProtocol,
  type UpdateNodeProtocolRequest,
  UpdateNodeProtocolRequestSchema,
} from "../../../../gen/garrison/core/v1/node_protocols_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { type JsonObject, parseObject } from "../../domain/fleet/json-object.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import { checkLinkSettings } from "../../domain/fleet/protocols/link-settings.ts";
import { collide } from "../../domain/fleet/protocols/ports.ts";
import { completeSettings, type ServedProtocol, servedProtocol } from "../../domain/fleet/protocols/settings.ts";
import type { Random } from "../../domain/fleet/random.ts";
import { rulesWithInbound } from "../../domain/fleet/routing.ts";
import { restoreSecrets } from "../../domain/fleet/secrets.ts";
import { Invalid, NotNow, Taken, Unknown } from "../../domain/fleet/situations.ts";
import { fieldsToChange } from "../../domain/fleet/update-mask.ts";
import type { CoreSchema } from "../schema.ts";
import { changedColumns } from "./changed-columns.ts";
import type { MakeChange } from "./changes.ts";
import { claimTag, freeTag, routingOf } from "./node-tags.ts";
import { findNode } from "./nodes.ts";
import { type ProtocolRow, protocolOf, protocolsOf, readProtocol } from "./protocol-message.ts";
import { protocolWords } from "./protocol-words.ts";
import { beyond, idOf } from "./sql-parts.ts";
import { claimInterface, keepPool } from "./tunnel-pools.ts";

/** The protocols that nodes serve. */
export interface ProtocolStore {
  create(actor: string, request: CreateNodeProtocolRequest): Promise<NodeProtocol>;
  get(id: bigint): Promise<NodeProtocol>;
  list(request: ListNodeProtocolsRequest): Promise<ListNodeProtocolsResponse>;
  update(actor: string, request: UpdateNodeProtocolRequest): Promise<NodeProtocol>;
  remove(actor: string, request: DeleteNodeProtocolRequest): Promise<void>;
}

/** Options of {@link createProtocolStore}. */
export interface ProtocolStoreOptions {
  database: Pick<Database<CoreSchema>, "db">;
  change: MakeChange;
  random: Random;
}

/** The protocols of nodes in the database. */
export function createProtocolStore({ database: { db }, change, random }: ProtocolStoreOptions): ProtocolStore {
  return {
    create: (actor, request) =>
      change(actor, async ({ tx, at, audit, publish }) => {
        const protocol = servedProtocol(protocolWords.word(request.protocol));
        const { id: node_id } = await findNode(tx, request.nodeId);
        const { port, listen, remark } = request;
        if (protocol === "wireguard") await claimInterface(tx, node_id);
        const usualTag = protocol === "wireguard" ? "wg0" : `${protocol}-${port}`;
        const tag = request.tag || (await freeTag(tx, node_id, usualTag));
        checkInbound(protocol, tag, listen);
        const settings = completeSettings(protocol, objectOf("settings", request.settings), random);
        await claimTag(tx, node_id, tag);
        await claimPort(tx, { id: 0, node_id, protocol, listen, port, settings });
        const row = await tx
          .insertInto("node_protocol")
          .values({
            node_id,
            protocol,
            tag,
            remark,
            listen,
            port,
            enabled: Number(!request.disabled),
            settings: JSON.stringify(settings),
            link_settings: JSON.stringify(checkLinkSettings(objectOf("linkSettings", request.linkSettings))),
            created_at: at,
          })
          .returningAll()
          .executeTakeFirstOrThrow();
        await keepPool(tx, { id: row.id, node_id, protocol, settings });
        await audit("node-protocol.create", `node-protocol:${row.id}`, { nodeId: node_id, protocol, tag, port });
        publish({ nodeIds: [node_id] }, `protocol ${tag} created`);
        return protocolOf(row, 0);
      }),

    async get(id) {
      return readProtocol(db, await find(db, id));
    },

    async list(request) {
      const page = pageOf(ListNodeProtocolsRequestSchema, request, ["number"]);
      let query = db
        .selectFrom("node_protocol")
        .selectAll()
        .orderBy("id")
        .limit(page.size + 1);
      if (page.after !== undefined) query = query.where(beyond(["id"], page.after));
      if (request.nodeId !== 0n) query = query.where("node_id", "=", idOf(request.nodeId));
      if (request.protocol !== 0) query = query.where("protocol", "=", protocolWords.word(request.protocol));
      if (request.enabled !== undefined) query = query.where("enabled", "=", Number(request.enabled));
      const { rows, nextPageToken } = page.cut(await query.execute(), ({ id }) => [id]);
      return create(ListNodeProtocolsResponseSchema, { nodeProtocols: await protocolsOf(db, rows), nextPageToken });
    },

    update: (actor, request) =>
      change(actor, async ({ tx, audit, publish }) => {
        const before = await find(tx, request.id);
        const next = columnsOf(request, before, random);
        const changed = changedColumns(before, next);
        if (changed.length === 0) return readProtocol(tx, before);
        const row = { ...before, ...next };
        checkInbound(servedProtocol(row.protocol), row.tag, row.listen);
        if (changed.includes("tag")) {
          await refuseIfRouted(tx, before);
          await claimTag(tx, row.node_id, row.tag);
        }
        await claimPort(tx, listeningOf(row));
        await tx.updateTable("node_protocol").set(next).where("id", "=", row.id).execute();
        if (changed.includes("settings")) await keepPool(tx, listeningOf(row));
        await audit("node-protocol.update", `node-protocol:${row.id}`, { nodeId: row.node_id, changed });
        publish({ nodeIds: [row.node_id] }, `protocol ${row.tag} changed`);
        return readProtocol(tx, row);
      }),

    remove: (actor, { id, force }) =>
      change(actor, async ({ tx, at, audit, publish }) => {
        const row = await find(tx, id);
        await refuseIfRouted(tx, row);
        const { count } = await tx
          .selectFrom("subscription_protocol")
          .select(({ fn }) => fn.countAll<number>().as("count"))
          .where("node_protocol_id", "=", row.id)
          .executeTakeFirstOrThrow();
        if (count > 0 && !force) {
          throw new NotNow("NODE_PROTOCOL_IN_USE", `${count} subscriptions name it: change these first, or say force`);
        }
        await tx.deleteFrom("node_protocol").where("id", "=", row.id).execute();
        const former = { id: row.id, node_id: row.node_id, deleted_at: at };
        await tx.insertInto("former_node_protocol").values(former).execute();
        await audit("node-protocol.delete", `node-protocol:${row.id}`, { nodeId: row.node_id, tag: row.tag });
        publish({ nodeIds: [row.node_id] }, `protocol ${row.tag} deleted`);
      }),
  };
}

async function find(db: Kysely<CoreSchema>, id: bigint): Promise<ProtocolRow> {
  const row = await db.selectFrom("node_protocol").selectAll().where("id", "=", idOf(id)).executeTakeFirst();
  if (row === undefined) throw new Unknown("NODE_PROTOCOL", id);
  return row;
}

function objectOf(field: string, text: string): JsonObject {
  const object = parseObject(text);
  if (object === undefined) throw new Invalid("SETTINGS_INVALID", `${field}: is no JSON object`);
  return object;
}

function columnsOf(request: UpdateNodeProtocolRequest, before: ProtocolRow, random: Random) {
  const fields = fieldsToChange(UpdateNodeProtocolRequestSchema, request);
  for (const name of ["tag", "port"] as const) {
    if (fields.has(name) && !request[name]) throw new Invalid("FIELD_INVALID", `${name}: a protocol of a node has one`);
  }
  return {
    tag: fields.has("tag") && request.tag ? request.tag : before.tag,
    remark: fields.has("remark") ? (request.remark ?? "") : before.remark,
    listen: fields.has("listen") ? (request.listen ?? "") : before.listen,
    port: fields.has("port") && request.port ? request.port : before.port,
    enabled: fields.has("enabled") ? Number(request.enabled ?? false) : before.enabled,
    settings: fields.has("settings") ? settingsOf(request.settings ?? "", before, random) : before.settings,
    link_settings: fields.has("linkSettings")
      ? JSON.stringify(checkLinkSettings(objectOf("linkSettings", request.linkSettings ?? "")))
      : before.link_settings,
  };
}

function settingsOf(text: string, before: ProtocolRow, random: Random): string {
  const old = parseObject(before.settings) ?? {};
  const { value, missing } = restoreSecrets(objectOf("settings", text), old);
  if (missing.length > 0) {
    throw new Invalid("SETTINGS_INVALID", `settings: ${missing[0]}: there was no secret at this place to be kept`);
  }
  return JSON.stringify(completeSettings(servedProtocol(before.protocol), value, random, old));
}

/** Refuses what an interface of WireGuard cannot have. */
function checkInbound(protocol: ServedProtocol, tag: string, listen: string): void {
  if (protocol !== "wireguard") return;
  if (!interfaceName.test(tag)) {
    throw new Invalid("FIELD_INVALID", "tag: names an interface: at most 15 characters, the first a letter or digit");
  }
  if (noInterface.has(tag)) throw new Invalid("FIELD_INVALID", `tag: no interface can be named ${tag}`);
  if (listen !== "") throw new Invalid("FIELD_INVALID", "listen: WireGuard listens on all addresses: leave it out");
}

const interfaceName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/;
/** Linux has settings of all interfaces under these, and one of its own that is named so. */
const noInterface = new Set(["all", "default", "lo"]);

function listeningOf(row: ProtocolRow) {
  const { id, node_id, listen, port } = row;
  return {
    id,
    node_id,
    protocol: servedProtocol(row.protocol),
    listen,
    port,
    settings: parseObject(row.settings) ?? {},
  };
}

/** Throws {@link Taken} when another protocol of the node listens there. */
async function claimPort(tx: Transaction<CoreSchema>, wanted: ReturnType<typeof listeningOf>): Promise<void> {
  const others = await tx
    .selectFrom("node_protocol")
    .selectAll()
    .where("node_id", "=", wanted.node_id)
    .where("port", "=", wanted.port)
    .where("id", "!=", wanted.id)
    .execute();
  const other = others.find((row) => collide(wanted, listeningOf(row)));
  if (other === undefined) return;
  throw new Taken("PORT", `the port ${wanted.port} is that of ${other.tag} already: choose another port or address`);
}

async function refuseIfRouted(tx: Transaction<CoreSchema>, { node_id, tag }: ProtocolRow): Promise<void> {
  const [rule] = rulesWithInbound(await routingOf(tx, node_id), tag);
  if (rule === undefined) return;
  throw new NotNow("NODE_PROTOCOL_IN_USE", `the node's routing names the inbound ${tag} in ${rule}: change that first`);
}
