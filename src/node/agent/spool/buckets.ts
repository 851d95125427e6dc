import type { QueryCreator } from "kysely";
import type { SpoolSchema } from "./schema.ts";

/** What a bucket has in both directions. */
export interface Bytes {
  bytes_up: bigint;
  bytes_down: bigint;
}

/** Bytes of a user. */
export interface UsageBytes extends Bytes {
  minute: number;
  node_protocol_id: number;
  link_uuid: string;
  user_id: number;
  subscription_id: number;
}

type Queries = QueryCreator<SpoolSchema>;

/** Adds bytes of a user to those that wait; `coarse` is 1 where the minute stands for an hour. */
export function addUsage(db: Queries, row: UsageBytes, coarse: number) {
  const { minute, node_protocol_id, link_uuid, user_id, subscription_id, bytes_up, bytes_down } = row;
  return db
    .insertInto("usage_bucket")
    .values({ minute, coarse, node_protocol_id, link_uuid, user_id, subscription_id, bytes_up, bytes_down })
    .onConflict((conflict) =>
      conflict
        .columns(["minute", "coarse", "node_protocol_id", "link_uuid", "user_id", "subscription_id"])
        .doUpdateSet((eb) => ({
          bytes_up: eb("usage_bucket.bytes_up", "+", eb.ref("excluded.bytes_up")),
          bytes_down: eb("usage_bucket.bytes_down", "+", eb.ref("excluded.bytes_down")),
        })),
    );
}

/** Adds bytes of a whole inbound to those that wait. */
export function addInbound(db: Queries, row: Bytes & { node_protocol_id: number }) {
  const { node_protocol_id, bytes_up, bytes_down } = row;
  return db
    .insertInto("inbound_bucket")
    .values({ node_protocol_id, bytes_up, bytes_down })
    .onConflict((conflict) =>
      conflict.column("node_protocol_id").doUpdateSet((eb) => ({
        bytes_up: eb("inbound_bucket.bytes_up", "+", eb.ref("excluded.bytes_up")),
        bytes_down: eb("inbound_bucket.bytes_down", "+", eb.ref("excluded.bytes_down")),
      })),
    );
}

/** Adds bytes of an outbound to those that wait. */
export function addOutbound(db: Queries, row: Bytes & { tag: string }) {
  const { tag, bytes_up, bytes_down } = row;
  return db
    .insertInto("outbound_bucket")
    .values({ tag, bytes_up, bytes_down })
    .onConflict((conflict) =>
      conflict.column("tag").doUpdateSet((eb) => ({
        bytes_up: eb("outbound_bucket.bytes_up", "+", eb.ref("excluded.bytes_up")),
        bytes_down: eb("outbound_bucket.bytes_down", "+", eb.ref("excluded.bytes_down")),
      })),
    );
}
