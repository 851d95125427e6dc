import { objectIn } from "./json-object.ts";
import { hidden } from "./secrets.ts";

/** A place in which two configs differ. */
export interface ConfigChange {
  /** The names on the way to it, joined by `/`; of a list whose elements have changed places, that of the list. */
  readonly path: string;
  /** Undefined: nothing was there. */
  readonly before: unknown;
  /** Undefined: nothing is there. */
  readonly after: unknown;
}

/** The places in which two JSON values differ, in their order. */
export function* configDifference(before: unknown, after: unknown, path = ""): Generator<ConfigChange> {
  const [old, current] = [membersOf(before), membersOf(after)];
  if (old === undefined || current === undefined || Array.isArray(before) !== Array.isArray(after)) {
    if (JSON.stringify(before) !== JSON.stringify(after)) yield { path, before, after };
    return;
  }
  for (const name of new Set([...old.keys(), ...current.keys()])) {
    yield* configDifference(old.get(name), current.get(name), path === "" ? name : `${path}/${name}`);
  }
  // The first outbound is the default, and rules are tried in their order.
  const order = { before: commonOf(old, current), after: commonOf(current, old) };
  if (Array.isArray(before) && order.before.join() !== order.after.join()) yield { path, ...order };
}

/** The members of an object, or the elements of a list by what they are known by. */
function membersOf(value: unknown): ReadonlyMap<string, unknown> | undefined {
  if (Array.isArray(value)) {
    const names = value.map(nameOf);
    const isNamed = names.every((name) => name !== undefined) && new Set(names).size === names.length;
    return new Map(value.map((element, index) => [(isNamed && names[index]) || `${index}`, element]));
  }
  const object = objectIn(value);
  return object && new Map(Object.entries(object));
}

function nameOf(element: unknown): string | undefined {
  const { tag, email, linkUuid, port } = objectIn(element) ?? {};
  const name = tag ?? email ?? linkUuid ?? port;
  return typeof name === "string" || typeof name === "number" ? `${name}` : undefined;
}

function commonOf(one: ReadonlyMap<string, unknown>, other: ReadonlyMap<string, unknown>): string[] {
  return [...one.keys()].filter((name) => other.has(name));
}

/**
 * Replaces the UUIDs of links, which are credentials of VLESS and VMess, by names that are the same for the same UUID
 * within what one `veil` has seen, and good for nothing else.
 */
export function createVeil(): (text: string) => string {
  const names = new Map<string, string>();
  return (text) =>
    text.replace(uuid, (found) => {
      const name = names.get(found) ?? `${hidden.slice(0, -1)}-${names.size + 1}>`;
      names.set(found, name);
      return name;
    });
}

const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;
