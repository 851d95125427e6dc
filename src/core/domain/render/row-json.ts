/** What a row holds cannot be rendered. The message names the row and no secrets. */
export class RowUnreadable extends Error {
  override readonly name = "RowUnreadable";

  constructor(what: string, wrong = "is no JSON object") {
    super(`${what} ${wrong}`);
  }
}

/** A JSON object of a row. `what` names it in {@link RowUnreadable}. */
export function readObject(text: string, what: string): Readonly<Record<string, unknown>> {
  try {
    return objectOf(JSON.parse(text), what);
  } catch {
    throw new RowUnreadable(what);
  }
}

/** A value that has to be an object; absent is empty. */
export function objectOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new RowUnreadable(what);
  return value as Readonly<Record<string, unknown>>;
}
