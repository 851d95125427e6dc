import pg from "pg";

/** How values of PostgreSQL are read, by the number of their type, so that both engines give the same. */
export const typeParsers: pg.CustomTypesConfig = {
  getTypeParser: (type: number, format?: "text" | "binary") => parsers[type] ?? pg.types.getTypeParser(type, format),
} as pg.CustomTypesConfig;

/** The types of integers: what has one of them is read by `readInteger`. */
export const integerTypes: ReadonlySet<number> = new Set([20, 21, 23, 1700]);

/** What is sent for a value. */
export function toPostgres(value: unknown): unknown {
  // Columns that hold truth are integers on both engines; a real boolean takes '1' as well.
  return typeof value === "boolean" ? Number(value) : value;
}

const parsers: Record<number, (text: string) => unknown> = {
  16: (text) => (text === "t" ? 1 : 0),
  17: (text) => Uint8Array.fromHex(text.slice(2)),
  20: (text) => wholeNumber(text),
  // json and jsonb stay text.
  114: (text) => text,
  3802: (text) => text,
  // The sum of integers is a numeric; SQLite, too, makes reals of what is not whole.
  1700: (text) => (/^-?\d+$/.test(text) ? wholeNumber(text) : Number(text)),
};

function wholeNumber(text: string): number | bigint {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
}
