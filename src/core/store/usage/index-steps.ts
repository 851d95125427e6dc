import { type RawBuilder, sql } from "kysely";

// What usage there is lies by node and time, and by time and user. What is asked about a time alone is asked of each node,
// and what is asked about a user of each time: these are found by stepping from one to the next in the index, instead of
// reading all of it.

/** A table of the ids of all nodes that have usage, those that are gone included. */
export const nodesWithUsage = sql<{ id: number }>`(
  with recursive used (id) as (
    select min(node_id) from usage_minute
    union all
    select (select min(node_id) from usage_minute where node_id > used.id) from used where used.id is not null
  )
  select id from used where id is not null
)`;

/** A table of all times of rows, from a time on and before another. */
export function timesWithUsage(from: number, before: number): RawBuilder<{ at: number }> {
  return sql<{ at: number }>`(
    with recursive used (at) as (
      select min(minute) from usage_minute where minute >= ${from} and minute < ${before}
      union all
      select (select min(minute) from usage_minute where minute > used.at and minute < ${before})
      from used where used.at is not null
    )
    select at from used where at is not null
  )`;
}
