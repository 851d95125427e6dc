/** JSON that is canonical already, and stands as it is. */
export class Verbatim {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/**
 * A value as RFC 8785 writes it: members sorted by the UTF-16 units of their names, no white space, numbers and strings
 * as ECMAScript does. Members that are undefined are left out. Throws a TypeError for what JSON does not know.
 */
export function canonicalJson(value: unknown): string {
  if (value instanceof Verbatim) return value.text;
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    const sorted = members.sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${sorted.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(",")}}`;
  }
  if (value === null || ["string", "boolean"].includes(typeof value) || Number.isFinite(value)) {
    return JSON.stringify(value);
  }
  throw new TypeError(`JSON does not know ${String(value)}`);
}
