import type { Transaction } from "kysely";
import { type JsonObject, parseObject } from "../../domain/fleet/json-object.ts";
import type { NodeTags } from "../../domain/fleet/routing.ts";
import { Taken } from "../../domain/fleet/situations.ts";
import { checkTag } from "../../domain/fleet/tags.ts";
import type { CoreSchema } from "../schema.ts";

/** Throws `Taken` when an inbound or outbound of the node has the tag, and `Invalid` when it is reserved. */
export async function claimTag(tx: Transaction<CoreSchema>, nodeId: number, tag: string): Promise<void> {
  checkTag(tag);
  if (!(await isTaken(tx, nodeId, tag))) return;
  throw new Taken("TAG", `the node has an inbound or outbound ${tag} already: choose another tag`);
}

/** A tag that is not taken, and begins with `base`. */
export async function freeTag(tx: Transaction<CoreSchema>, nodeId: number, base: string): Promise<string> {
  let tag = base;
  for (let number = 2; await isTaken(tx, nodeId, tag); number++) tag = `${base}-${number}`;
  return tag;
}

async function isTaken(tx: Transaction<CoreSchema>, nodeId: number, tag: string): Promise<boolean> {
  const inbound = tx.selectFrom("node_protocol").select("tag").where("node_id", "=", nodeId).where("tag", "=", tag);
  const outbound = tx.selectFrom("node_outbound").select("tag").where("node_id", "=", nodeId).where("tag", "=", tag);
  return (await inbound.unionAll(outbound).execute()).length > 0;
}

/** The tags that the node's routing may name. */
export async function tagsOf(tx: Transaction<CoreSchema>, nodeId: number): Promise<NodeTags> {
  const outbounds = await tx
    .selectFrom("node_outbound")
    .select("tag")
    .where("node_id", "=", nodeId)
    .where("enabled", "=", 1)
    .orderBy("position")
    .execute();
  const inbounds = await tx
    .selectFrom("node_protocol")
    .select("tag")
    .where("node_id", "=", nodeId)
    .orderBy("tag")
    .execute();
  return { outbounds: outbounds.map(({ tag }) => tag), inbounds: inbounds.map(({ tag }) => tag) };
}

/** The node's routing; empty when it has none. */
export async function routingOf(tx: Transaction<CoreSchema>, nodeId: number): Promise<JsonObject> {
  const row = await tx.selectFrom("node_routing").select("routing").where("node_id", "=", nodeId).executeTakeFirst();
  return parseObject(row?.routing ?? "") ?? {};
}
