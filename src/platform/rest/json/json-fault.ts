/** A text is not JSON, or not JSON of the shape that is expected. The message begins with the path to the place. */
export class JsonFault extends Error {
  readonly #reason: string;
  readonly #path: string[] = [];

  constructor(reason: string) {
    super(reason);
    this.name = "JsonFault";
    this.#reason = reason;
  }

  /** Says that the fault lies inside this member (`name`) or element (`[3]`): called from the inside out. */
  within(step: string): this {
    this.#path.unshift(short(step));
    this.message = `${this.#path.join(".").replaceAll(".[", "[")}: ${this.#reason}`;
    return this;
  }
}

/** A text of the caller's for an error, cut where it is long. */
export function short(text: string): string {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/** Adds a step of the path to a fault that passes by; anything else passes as it is. */
export function faultWithin(step: string, cause: unknown): unknown {
  return cause instanceof JsonFault ? cause.within(step) : cause;
}
