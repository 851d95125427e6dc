import type { BulkText } from "../bulk-text.ts";

/** A text of a bulk statement: it has places for a number of rows. */
export interface RowsText {
  readonly sql: string;
  /** Values that it takes. */
  readonly places: number;
}

/** The texts of a bulk statement, for many rows first: few, so that they stay prepared. */
export function textsOf(bulk: BulkText): readonly RowsText[] {
  const known = texts.get(bulk);
  if (known !== undefined) {
    return known;
  }
  const made = rowsOfTexts.map((rows) => textOf(bulk, rows));
  texts.set(bulk, made);
  return made;
}

/** The values of all rows, one after another: an array, or what stands for one. */
export interface BulkValues {
  readonly length: number;
  slice(from: number, to: number): readonly unknown[];
}

/** One execution of a bulk statement, for some of its rows. */
export interface BulkPart {
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

/** The executions of a bulk statement, in the order of its rows. */
export function* bulkParts(texts: readonly RowsText[], values: BulkValues): Generator<BulkPart> {
  let at = 0;
  for (const { sql, places } of texts) {
    while (values.length - at >= places) {
      yield { sql, parameters: values.slice(at, at + places) };
      at += places;
    }
  }
  if (at !== values.length) {
    throw new TypeError("the values of a bulk statement are not whole rows");
  }
}

// Longer texts gain nothing more.
const rowsOfTexts = [64, 8, 1];
const texts = new WeakMap<BulkText, readonly RowsText[]>();

function textOf(bulk: BulkText, rows: number): RowsText {
  const columns = Object.keys(bulk.columns);
  const row = `(${columns.map(() => "?").join(", ")})`;
  const names = columns.map((name, index) => `column${index + 1} as ${name}`).join(", ");
  const table = `(select ${names} from (values ${Array(rows).fill(row).join(", ")})) as v`;
  return { sql: bulk.text(table), places: rows * columns.length };
}
