import { type JsonObject, parseObject } from "../../fleet/json-object.ts";

// Settings were checked when they were set, but not to the last member: what is not of its kind counts as absent.

/** The object that a text holds; undefined when it holds none. Its texts hold no half characters, which links cannot. */
export function readObject(text: string): JsonObject | undefined {
  const given = parseObject(text);
  return (
    given && JSON.parse(JSON.stringify(given), (_, value) => (typeof value === "string" ? value.toWellFormed() : value))
  );
}

/** A text; empty when it is none. */
export function textIn(holder: JsonObject, name: string): string {
  const value = holder[name];
  return typeof value === "string" ? value : "";
}

/** A list of texts, which may also stand as one with commas. */
export function textsIn(holder: JsonObject, name: string): string[] {
  const value = holder[name];
  const elements = typeof value === "string" ? value.split(",") : Array.isArray(value) ? value : [];
  return elements.filter((element) => typeof element === "string" && element !== "");
}

/** A whole number from `least` on, which may also stand as a text. */
export function wholeIn(holder: JsonObject, name: string, least: number): number | undefined {
  const value = holder[name];
  const number = typeof value === "string" && /^\d{1,9}$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) && number >= least ? number : undefined;
}

/** The member of `headers` that names the host, in whatever case. */
export function hostHeaderIn(headers: JsonObject | undefined): string {
  for (const [name, value] of Object.entries(headers ?? {})) {
    if (name.toLowerCase() !== "host") continue;
    const first: unknown = Array.isArray(value) ? value[0] : value;
    if (typeof first === "string") return first;
  }
  return "";
}
