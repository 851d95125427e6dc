import { type JsonObject, objectIn } from "./json-object.ts";

/** What stands in the place of a secret where somebody may read it. */
export const hidden = "<secret>";

/** Replaces what must not be read by {@link hidden}: in settings and configs of Xray and telemt. */
export function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  const object = objectIn(value);
  if (object === undefined) return value;
  return Object.fromEntries(
    Object.entries(object).map(([name, member]) => [name, isSecret(name, member) ? hidden : withoutSecrets(member)]),
  );
}

/**
 * Puts the secrets of `kept` where `given` has {@link hidden} in their place. Returns the places, joined by dots, for
 * which there is none.
 */
export function restoreSecrets(given: JsonObject, kept: JsonObject): { value: JsonObject; missing: string[] } {
  const missing: string[] = [];
  const restore = (value: unknown, old: unknown, path: string): unknown => {
    if (value === hidden) {
      if (old === undefined || old === hidden) missing.push(path);
      return old;
    }
    if (Array.isArray(value)) {
      const before: unknown[] = Array.isArray(old) ? old : [];
      return value.map((element, index) =>
        restore(element, formerOf(element, index, before, value.length), `${path}[${index}]`),
      );
    }
    const object = objectIn(value);
    return object === undefined ? value : members(object, objectIn(old) ?? {}, path);
  };
  const members = (object: JsonObject, old: JsonObject, path: string): JsonObject =>
    Object.fromEntries(
      Object.entries(object).map(([name, member]) => [
        name,
        restore(member, Object.hasOwn(old, name) ? old[name] : undefined, path === "" ? name : `${path}.${name}`),
      ]),
    );
  return { value: members(given, kept, ""), missing };
}

/**
 * What an element of a list was before: the one that reads the same, which may have been elsewhere; else the one at its
 * place, unless elements have come or gone, so that it may be another one.
 */
function formerOf(element: unknown, index: number, before: readonly unknown[], length: number): unknown {
  const shown = JSON.stringify(element);
  const readsTheSame = (old: unknown) => JSON.stringify(withoutSecrets(old)) === shown;
  if (readsTheSame(before[index])) return before[index];
  return before.find(readsTheSame) ?? (before.length === length ? before[index] : undefined);
}

// Names under which Xray and telemt keep keys, passwords and credentials. `decryption` and `encryption` of VLESS hold keys
// unless they are `none`.
const secretNames = new Set([
  "auth",
  "auth_header",
  "authorization",
  "decryption",
  "echserverkeys",
  "encryption",
  "id",
  "key",
  "mldsa65seed",
  "pass",
  "password",
  "presharedkey",
  "privatekey",
  "psk",
  "secret",
  "secretkey",
  "seed",
  "token",
]);

function isSecret(name: string, value: unknown): boolean {
  if (!secretNames.has(name.toLowerCase())) return false;
  if (typeof value === "string") return value !== "" && value !== "none";
  // A key in PEM may be written as a list of its lines.
  return Array.isArray(value) && value.length > 0 && value.every((line) => typeof line === "string");
}
