import { sql } from "kysely";

/**
 * A table of the ids of all nodes that have usage, those that are gone included: found by stepping from one to the next
 * in the index, instead of reading all of it. Usage lies by node and time, so that what is asked about a time alone is
 * asked of each of them.
 */
export const nodesWithUsage = sql<{ id: number }>`(
  with recursive used (id) as (
    select min(node_id) from usage_minute
    union all
    select (select min(node_id) from usage_minute where node_id > used.id) from used where used.id is not null
  )
  select id from used where id is not null
)`;
