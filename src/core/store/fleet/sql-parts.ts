import { type Expression, type RawBuilder, type SqlBool, sql } from "kysely";

/** One of the columns holds the text, in any case. */
export function anyContains(columns: readonly (string | RawBuilder<string>)[], text: string): Expression<SqlBool> {
  const pattern = `%${text.replaceAll(/[\\%_]/g, "\\$&")}%`;
  const tests = columns.map((column) => {
    const value = typeof column === "string" ? sql.ref(column) : column;
    // The database lowers both: in some locales PostgreSQL knows ASCII only, and a name must still be found as it is.
    return sql<SqlBool>`lower(${value}) like lower(${pattern}) escape '\\'`;
  });
  return sql<SqlBool>`(${sql.join(tests, sql` or `)})`;
}

/** The columns come, together, after the key of a page; before it when they descend. */
export function beyond(
  columns: readonly string[],
  key: readonly (number | string | bigint)[],
  direction: "asc" | "desc" = "asc",
): Expression<SqlBool> {
  const row = sql.join(columns.map((column) => sql.ref(column)));
  const values = sql.join(key.map((value) => sql.val(value)));
  return direction === "asc" ? sql<SqlBool>`(${row}) > (${values})` : sql<SqlBool>`(${row}) < (${values})`;
}

/** Names what a query is about by an id of the contract. Ids that no row can have are 0, which none has. */
export function idOf(id: bigint): number {
  return id > 0n && id <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(id) : 0;
}
