/** A JSON object, whose members are not known. */
export type JsonObject = { readonly [name: string]: unknown };

/** What a text holds that has to be a JSON object; empty is an empty one. Undefined when it is none. */
export function parseObject(text: string): JsonObject | undefined {
  if (text === "") return {};
  try {
    return objectIn(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** The value, when it is an object and no list. */
export function objectIn(value: unknown): JsonObject | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
}
