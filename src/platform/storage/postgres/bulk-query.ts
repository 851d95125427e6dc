import type { BulkText, BulkType } from "../bulk-text.ts";
import { toPostgres } from "./types.ts";

/** A bulk statement as PostgreSQL takes it: one parameter for each column, with the array of its values. */
export function bulkQuery(bulk: BulkText, values: readonly unknown[]): { sql: string; parameters: readonly string[] } {
  const types = Object.values(bulk.columns);
  if (values.length % types.length !== 0) {
    throw new TypeError("the values of a bulk statement are not whole rows");
  }
  return { sql: textOf(bulk), parameters: types.map((type, column) => arrayOf(type, column, types.length, values)) };
}

const texts = new WeakMap<BulkText, string>();

function textOf(bulk: BulkText): string {
  let text = texts.get(bulk);
  if (text === undefined) {
    const arrays = Object.values(bulk.columns).map((type, index) => `$${index + 1}::${sqlTypes[type]}[]`);
    text = bulk.text(`unnest(${arrays.join(", ")}) as v (${Object.keys(bulk.columns).join(", ")})`);
    texts.set(bulk, text);
  }
  return text;
}

const sqlTypes: Record<BulkType, string> = { integer: "bigint", text: "text" };

/** The literal of an array: https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
function arrayOf(type: BulkType, column: number, width: number, values: readonly unknown[]): string {
  let literal = "";
  for (let at = column; at < values.length; at += width) {
    const value = toPostgres(values[at]) ?? null;
    literal += `${at === column ? "{" : ","}${value === null ? "NULL" : type === "text" ? quoted(String(value)) : value}`;
  }
  return literal === "" ? "{}" : `${literal}}`;
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, "\\$&")}"`;
}
