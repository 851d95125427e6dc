import { create } from "@bufbuild/protobuf";
import { type RawBuilder, type SqlBool, sql } from "kysely";
import {
  type QueryUsageRequest,
  QueryUsageRequestSchema,
  type QueryUsageResponse,
  QueryUsageResponseSchema,
  UsageDimension,
  UsageInterval,
  UsageRowSchema,
} from "../../../../gen/garrison/core/v1/usage_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import { Invalid } from "../../domain/fleet/situations.ts";
import type { CoreSchema } from "../schema.ts";
import { nodesWithUsage, timesWithUsage } from "../usage/index-steps.ts";
import { msOf, timeOf } from "./message-values.ts";
import { idOf } from "./sql-parts.ts";

/** Adds up usage. */
export type QueryUsage = (request: QueryUsageRequest) => Promise<QueryUsageResponse>;

/** Adds up usage in the database. `now` is in milliseconds since 1970. */
export function createQueryUsage({ db }: Pick<Database<CoreSchema>, "db">, now: () => number): QueryUsage {
  return async (request) => {
    const to = msOf(request.to) ?? now();
    const from = msOf(request.from) ?? to - usualSpanMs;
    if (from >= to) throw new Invalid("FIELD_INVALID", "from: is not before to");
    const named = dimensions.filter(({ dimension }) => request.groupBy.includes(dimension));
    const step = intervalMs.get(request.interval);
    // A row is known by these, in the order in which rows come.
    const keys = [...(step === undefined ? [] : [begins(step)]), ...named.map(({ column }) => sql.ref<number>(column))];
    const shape = keys.map(() => "number" as const);
    const page = pageOf(QueryUsageRequestSchema, request, shape, usualPageSize);

    let query = db
      .selectFrom("usage_minute")
      .select([
        (step === undefined ? sql<number>`0` : begins(step)).as("begins"),
        ...dimensions.map(({ dimension, column }) =>
          (request.groupBy.includes(dimension) ? sql.ref<number>(column) : sql<number>`0`).as(column),
        ),
        sql<bigint>`cast(sum(bytes_up) as bigint)`.as("bytes_up"),
        sql<bigint>`cast(sum(bytes_down) as bigint)`.as("bytes_down"),
      ])
      .where("minute", ">=", from)
      .where("minute", "<", to)
      // Without a group there is always one row.
      .having(sql<SqlBool>`count(*) > 0`)
      .limit(page.size + 1);
    for (const key of keys) query = query.groupBy(key).orderBy(key);
    for (const { column, id } of filters) {
      if (id(request) === 0n) continue;
      // The way to a user's rows is not by way of all that a node has.
      const isAside = column === "node_id" && request.userId !== 0n;
      query = query.where(isAside ? sql<number>`node_id + 0` : sql.ref<number>(column), "=", idOf(id(request)));
    }
    // No index knows users, or times alone.
    if (request.userId !== 0n) query = query.where(sql<SqlBool>`minute in ${timesWithUsage(from, to)}`);
    else if (request.nodeId === 0n)
      query = query.where(sql<SqlBool>`node_id in (select id from ${nodesWithUsage} as used)`);
    if (page.after !== undefined && keys.length > 0) {
      query = query.where(sql<SqlBool>`(${sql.join(keys)}) > (${sql.join(page.after.map((value) => sql.val(value)))})`);
    }
    const { rows, nextPageToken } = page.cut(await query.execute(), (row) => [
      ...(step === undefined ? [] : [row.begins]),
      ...named.map(({ column }) => row[column]),
    ]);
    return create(QueryUsageResponseSchema, {
      nextPageToken,
      rows: rows.map((row) =>
        create(UsageRowSchema, {
          ...(step !== undefined && { from: timeOf(row.begins) }),
          userId: BigInt(row.account_id),
          subscriptionId: BigInt(row.subscription_id),
          nodeId: BigInt(row.node_id),
          nodeProtocolId: BigInt(row.node_protocol_id),
          bytesUp: row.bytes_up,
          bytesDown: row.bytes_down,
        }),
      ),
    });
  };
}

const usualSpanMs = 30 * 24 * 3_600_000;
const usualPageSize = 1000;

const dimensions = [
  { dimension: UsageDimension.USER, column: "account_id" },
  { dimension: UsageDimension.SUBSCRIPTION, column: "subscription_id" },
  { dimension: UsageDimension.NODE, column: "node_id" },
  { dimension: UsageDimension.NODE_PROTOCOL, column: "node_protocol_id" },
] as const;

const filters = [
  { column: "account_id", id: (request: QueryUsageRequest) => request.userId },
  { column: "subscription_id", id: (request: QueryUsageRequest) => request.subscriptionId },
  { column: "node_id", id: (request: QueryUsageRequest) => request.nodeId },
  { column: "node_protocol_id", id: (request: QueryUsageRequest) => request.nodeProtocolId },
] as const;

const intervalMs: ReadonlyMap<UsageInterval, number> = new Map([
  [UsageInterval.MINUTE, 60_000],
  [UsageInterval.HOUR, 3_600_000],
  [UsageInterval.DAY, 86_400_000],
]);

/** When the interval of a row begins. Written out, so that PostgreSQL sees the same expression wherever it stands. */
function begins(stepMs: number): RawBuilder<number> {
  return sql<number>`(minute - minute % ${sql.lit(stepMs)})`;
}
