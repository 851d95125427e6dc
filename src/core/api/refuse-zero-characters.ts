import type { Interceptor } from "@connectrpc/connect";
import { Invalid } from "../domain/fleet/situations.ts";

/** Refuses texts with zero characters, which PostgreSQL does not keep and SQLite does. Throws `Invalid`. */
export const refuseZeroCharacters: Interceptor = (next) => (request) => {
  if (!request.stream && hasZeroCharacter(request.message))
    throw new Invalid("FIELD_INVALID", "a text has a zero character");
  return next(request);
};

/** Messages are plain objects: their fields, and what is in those, are read as such. */
function hasZeroCharacter(value: unknown): boolean {
  if (typeof value === "string") return value.includes("\0");
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
  return Object.entries(value).some(([name, each]) => name.includes("\0") || hasZeroCharacter(each));
}
