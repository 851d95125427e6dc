import { create } from "@bufbuild/protobuf";
import {
  type NodeRouting,
  NodeRoutingSchema,
  type UpdateNodeRoutingRequest,
  UpdateNodeRoutingRequestSchema,
} from "../../../../gen/garrison/core/v1/node_outbounds_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { type JsonObject, parseObject } from "../../domain/fleet/json-object.ts";
import { checkExtra, checkRouting } from "../../domain/fleet/routing.ts";
import { Invalid, Unknown } from "../../domain/fleet/situations.ts";
import { fieldsToChange } from "../../domain/fleet/update-mask.ts";
import type { CoreSchema } from "../schema.ts";
import type { MakeChange } from "./changes.ts";
import { tagsOf } from "./node-tags.ts";
import { findNode } from "./nodes.ts";
import { idOf } from "./sql-parts.ts";

/** How nodes route. */
export interface RoutingStore {
  get(nodeId: bigint): Promise<NodeRouting>;
  update(actor: string, request: UpdateNodeRoutingRequest): Promise<NodeRouting>;
}

/** The routing of nodes in the database. */
export function createRoutingStore({ db }: Pick<Database<CoreSchema>, "db">, change: MakeChange): RoutingStore {
  return {
    async get(nodeId) {
      const row = await db
        .selectFrom("node")
        .leftJoin("node_routing", "node_routing.node_id", "node.id")
        .select(["node.id", "routing", "extra"])
        .where("node.id", "=", idOf(nodeId))
        .executeTakeFirst();
      if (row === undefined) throw new Unknown("NODE", nodeId);
      return routingOf(row.id, row.routing ?? "{}", row.extra ?? "{}");
    },

    update: (actor, request) =>
      change(actor, async ({ tx, audit, publish }) => {
        const { id: node_id } = await findNode(tx, request.nodeId);
        const fields = fieldsToChange(UpdateNodeRoutingRequestSchema, request, ["node_id"]);
        const before = await tx
          .selectFrom("node_routing")
          .selectAll()
          .where("node_id", "=", node_id)
          .executeTakeFirst();
        let { routing = "{}", extra = "{}" } = before ?? {};
        if (fields.has("routing")) {
          const given = objectIn("routing", request.routing);
          checkRouting(given, await tagsOf(tx, node_id));
          routing = JSON.stringify(given);
        }
        if (fields.has("extra")) {
          const given = objectIn("extra", request.extra);
          checkExtra(given);
          extra = JSON.stringify(given);
        }
        if (fields.size === 0) return routingOf(node_id, routing, extra);
        await tx
          .insertInto("node_routing")
          .values({ node_id, routing, extra })
          .onConflict((conflict) => conflict.column("node_id").doUpdateSet({ routing, extra }))
          .execute();
        await audit("node-routing.update", `node:${node_id}`, { changed: [...fields] });
        publish({ nodeIds: [node_id] }, "routing changed");
        return routingOf(node_id, routing, extra);
      }),
  };
}

function objectIn(field: string, text = ""): JsonObject {
  const object = parseObject(text);
  if (object === undefined) throw new Invalid("ROUTING_INVALID", `${field}: is no JSON object`);
  return object;
}

function routingOf(nodeId: number, routing: string, extra: string): NodeRouting {
  return create(NodeRoutingSchema, { nodeId: BigInt(nodeId), routing, extra });
}
