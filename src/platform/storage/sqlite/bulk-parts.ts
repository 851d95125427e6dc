import type { BulkText } from "../bulk-text.ts";

/** One execution of a bulk statement, for some of its rows. */
export interface BulkPart {
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

/**
 * The executions of a bulk statement, in the order of its rows. A text has places for a number of rows; of each bulk
 * statement there are three, so that they stay prepared.
 */
export function* bulkParts(bulk: BulkText, values: readonly unknown[]): Generator<BulkPart> {
  let at = 0;
  for (const { sql, places } of textsOf(bulk)) {
    while (values.length - at >= places) {
      yield { sql, parameters: values.slice(at, at + places) };
      at += places;
    }
  }
  if (at !== values.length) {
    throw new TypeError("the values of a bulk statement are not whole rows");
  }
}

interface Text {
  readonly sql: string;
  /** Values that it takes. */
  readonly places: number;
}

// Longer texts gain nothing more.
const rowsOfTexts = [64, 8, 1];
const texts = new WeakMap<BulkText, readonly Text[]>();

function textsOf(bulk: BulkText): readonly Text[] {
  const known = texts.get(bulk);
  if (known !== undefined) {
    return known;
  }
  const made = rowsOfTexts.map((rows) => textOf(bulk, rows));
  texts.set(bulk, made);
  return made;
}

function textOf(bulk: BulkText, rows: number): Text {
  const columns = Object.keys(bulk.columns);
  const row = `(${columns.map(() => "?").join(", ")})`;
  const names = columns.map((name, index) => `column${index + 1} as ${name}`).join(", ");
  const table = `(select ${names} from (values ${Array(rows).fill(row).join(", ")})) as v`;
  return { sql: bulk.text(table), places: rows * columns.length };
}
