import { type Expression, type SqlBool, sql } from "kysely";
import type { VpnProtocol } from "../../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { protocolWords } from "./protocol-words.ts";
import { idOf } from "./sql-parts.ts";

/** Whose sessions a request asks for; what is 0 does not matter. */
export interface SessionsAsked {
  readonly userId: bigint;
  readonly subscriptionId: bigint;
  readonly nodeId: bigint;
  readonly protocol: VpnProtocol;
}

/** What rows of sessions have to fulfil. */
export function sessionFilters({ userId, subscriptionId, nodeId, protocol }: SessionsAsked): Expression<SqlBool>[] {
  const filters: Expression<SqlBool>[] = [];
  const is = (column: string, value: number | string) =>
    filters.push(sql<SqlBool>`${sql.ref(column)} = ${sql.val(value)}`);
  if (userId !== 0n) is("account_id", idOf(userId));
  if (subscriptionId !== 0n) is("subscription_id", idOf(subscriptionId));
  if (nodeId !== 0n) is("node_id", idOf(nodeId));
  if (protocol !== 0) is("protocol", protocolWords.word(protocol));
  return filters;
}
