import type { BulkText } from "../bulk-text.ts";

/** A text of a bulk statement: it has places for a number of rows. */
interface RowsText {
  readonly sql: string;
  /** Values of rows that it takes, after those that all rows share. */
  readonly places: number;
}

/** What is to be executed: a bulk statement with its values. */
export interface BulkWork {
  /** For many rows first: few, so that they stay prepared. */
  readonly texts: readonly RowsText[];
  /** What all rows have in common. */
  readonly shared: readonly unknown[];
  readonly values: BulkValues;
}

/** Prepares a bulk statement for values. Columns that mostly are alike in all rows, and are so, become shared values. */
export function bulkWork(bulk: BulkText, values: readonly unknown[]): BulkWork {
  const { width, whole, parted } = textsOf(bulk);
  if (values.length % width !== 0) {
    throw new TypeError("the values of a bulk statement are not whole rows");
  }
  if (parted === undefined || !parted.alike.every((column) => isAlike(values, column, width))) {
    return { texts: whole, shared: [], values };
  }
  const { alike, texts } = parted;
  const isShared = Array.from({ length: width }, (_, column) => alike.includes(column));
  const others: unknown[] = [];
  for (let at = 0, column = 0; at < values.length; at += 1) {
    if (!isShared[column]) others.push(values[at]);
    column = column + 1 === width ? 0 : column + 1;
  }
  return { texts, shared: alike.map((column) => values[column]), values: others };
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
export function* bulkParts({ texts, shared, values }: BulkWork): Generator<BulkPart> {
  let at = 0;
  for (const { sql, places } of texts) {
    while (values.length - at >= places) {
      yield { sql, parameters: [...shared, ...values.slice(at, at + places)] };
      at += places;
    }
  }
}

// Longer texts gain nothing more.
const rowsOfTexts = [64, 8, 1];

/** The texts of a bulk statement. */
interface Texts {
  /** Columns. */
  readonly width: number;
  readonly whole: readonly RowsText[];
  /** Those in which some columns are shared; undefined where none ever are. */
  readonly parted: Parted | undefined;
}

interface Parted {
  /** Of the columns that are shared, among all. */
  readonly alike: readonly number[];
  readonly texts: readonly RowsText[];
}

const known = new WeakMap<BulkText, Texts>();

function textsOf(bulk: BulkText): Texts {
  const before = known.get(bulk);
  if (before !== undefined) return before;
  const { alike = [] } = bulk;
  const names = Object.keys(bulk.columns);
  const texts = (shared: readonly string[]) => rowsOfTexts.map((rows) => textOf(bulk, shared, rows));
  const parted = { alike: alike.map((name) => names.indexOf(name)), texts: texts(alike) };
  const made = { width: names.length, whole: texts([]), parted: alike.length === 0 ? undefined : parted };
  known.set(bulk, made);
  return made;
}

function textOf(bulk: BulkText, shared: readonly string[], rows: number): RowsText {
  const others = Object.keys(bulk.columns).filter((name) => !shared.includes(name));
  const row = `(${others.map(() => "?").join(", ")})`;
  const names = [
    ...shared.map((name) => `? as ${name}`),
    ...others.map((name, index) => `column${index + 1} as ${name}`),
  ].join(", ");
  const table = `(select ${names} from (values ${Array(rows).fill(row).join(", ")})) as v`;
  return { sql: bulk.text(table), places: rows * others.length };
}

function isAlike(values: readonly unknown[], column: number, width: number): boolean {
  const first = values[column];
  for (let at = column + width; at < values.length; at += width) if (values[at] !== first) return false;
  return true;
}
