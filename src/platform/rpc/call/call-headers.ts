import type { IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";

/** Header fields as Node gives and takes them: names in lower case, pseudo-headers of HTTP/2 among them. */
export type Fields = Record<string, string | string[] | number | undefined>;

/**
 * The header of one call as the standard `Headers`, at a fraction of its price: as long as it is only asked by name, and
 * plain values are set, it stays the object that Node made or takes. Everything else makes a real `Headers` of it first.
 */
export class CallHeaders implements Headers {
  readonly #fields: Fields;
  readonly #writable: boolean;
  #standard: Headers | undefined;

  private constructor(fields: Fields, writable: boolean) {
    this.#fields = fields;
    this.#writable = writable;
  }

  /** What was received. The fields are never changed. */
  static received(fields: IncomingHttpHeaders): CallHeaders {
    return new CallHeaders(fields, false);
  }

  /** What will be sent; it owns the fields. */
  static sent(fields: Fields): CallHeaders {
    return new CallHeaders(fields, true);
  }

  /** The fields to send, pseudo-headers of {@link sent} included. */
  toFields(): OutgoingHttpHeaders {
    if (this.#standard === undefined) return this.#fields;
    const fields: OutgoingHttpHeaders = {};
    for (const name in this.#fields) if (name.startsWith(":")) fields[name] = this.#fields[name];
    for (const [name, value] of this.#standard) {
      // Only set-cookie comes more than once.
      const before = fields[name];
      fields[name] = before === undefined ? value : [before, value].flat().map(String);
    }
    return fields;
  }

  get(name: string): string | null {
    if (this.#standard === undefined) {
      let value = this.#fields[name];
      if (value === undefined) {
        const lower = name.toLowerCase();
        if (lower !== name) value = this.#fields[lower];
      }
      if (value === undefined) return null;
      if (typeof value === "string") return value;
    }
    return this.#real().get(name);
  }

  has(name: string): boolean {
    return this.get(name) !== null;
  }

  set(name: string, value: string): void {
    if (this.#standard === undefined && this.#writable && plainName.test(name) && plainValue.test(value)) {
      this.#fields[name] = value;
    } else {
      this.#real().set(name, value);
    }
  }

  append(name: string, value: string): void {
    this.#real().append(name, value);
  }

  delete(name: string): void {
    this.#real().delete(name);
  }

  getSetCookie(): string[] {
    return this.#real().getSetCookie();
  }

  forEach(callback: (value: string, name: string, parent: Headers) => void, thisArg?: unknown): void {
    for (const [name, value] of this.#real()) callback.call(thisArg, value, name, this);
  }

  keys(): ReturnType<Headers["keys"]> {
    return this.#real().keys();
  }

  values(): ReturnType<Headers["values"]> {
    return this.#real().values();
  }

  entries(): ReturnType<Headers["entries"]> {
    return this.#real().entries();
  }

  [Symbol.iterator](): ReturnType<Headers["entries"]> {
    return this.entries();
  }

  #real(): Headers {
    if (this.#standard !== undefined) return this.#standard;
    const standard = new Headers();
    for (const [name, value] of Object.entries(this.#fields)) {
      if (value === undefined || name.startsWith(":")) continue;
      for (const each of Array.isArray(value) ? value : [value]) standard.append(name, String(each));
    }
    this.#standard = standard;
    return standard;
  }
}

// What `Headers` would take as it is, without folding case or trimming.
const plainName = /^[a-z0-9-]+$/;
const plainValue = /^(?:[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)?$/;
