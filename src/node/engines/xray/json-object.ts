import { ConfigRefused } from "../engine-error.ts";

/** Any JSON value. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
/** A JSON object. */
export interface JsonObject {
  [key: string]: Json;
}

/**
 * The value of a field. Xray reads keys in any case of letters, and the last of several counts; so does this. Null
 * counts as absent.
 */
export function getField(object: JsonObject, name: string): Json | undefined {
  const key = spellings(object, name).at(-1);
  return key === undefined ? undefined : (object[key] ?? undefined);
}

/** Sets a field, and drops its other spellings. */
export function setField(object: JsonObject, name: string, value: Json): void {
  dropField(object, name);
  object[name] = value;
}

/** Drops a field in all its spellings. */
export function dropField(object: JsonObject, name: string): void {
  for (const key of spellings(object, name)) delete object[key];
}

/** A field that must be an object where it is present. `path` names it in the error. */
export function objectField(object: JsonObject, name: string, path: string): JsonObject | undefined {
  const value = getField(object, name);
  return value === undefined ? undefined : asObject(value, path);
}

/** Like {@link objectField}; an absent field becomes an empty object. */
export function ensureObject(object: JsonObject, name: string, path: string): JsonObject {
  const value = objectField(object, name, path) ?? {};
  setField(object, name, value);
  return value;
}

/** A field that must be a list of objects where it is present; an absent one becomes an empty list. */
export function ensureObjects(object: JsonObject, name: string, path: string): JsonObject[] {
  const value = getField(object, name) ?? [];
  if (!Array.isArray(value)) throw new ConfigRefused(`${path} must be a list, not ${kindOf(value)}`);
  const objects = value.map((item, index) => asObject(item, `${path}[${index}]`));
  setField(object, name, objects);
  return objects;
}

/** A field that must be a text where it is present. Empty when absent. */
export function stringField(object: JsonObject, name: string, path: string): string {
  const value = getField(object, name);
  if (value === undefined) return "";
  if (typeof value !== "string") throw new ConfigRefused(`${path} must be a string, not ${kindOf(value)}`);
  return value;
}

/** The value as an object. */
export function asObject(value: Json, path: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new ConfigRefused(`${path} must be an object, not ${kindOf(value)}`);
}

/** The value as text that is the same whatever the order of its keys. */
export function canonicalText(value: Json): string {
  return JSON.stringify(value, (_key, item: Json) =>
    typeof item === "object" && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

function spellings(object: JsonObject, name: string): string[] {
  const wanted = name.toLowerCase();
  return Object.keys(object).filter((key) => key.length === wanted.length && key.toLowerCase() === wanted);
}

function kindOf(value: Json): string {
  if (value === null) return "null";
  if (typeof value !== "object") return `a ${typeof value}`;
  return Array.isArray(value) ? "a list" : "an object";
}
