import { type JsonObject, objectIn } from "../json-object.ts";
import { Invalid } from "../situations.ts";

/** Says which place of the settings cannot stay as it is. */
export function refuse(place: string, reason: string): never {
  throw new Invalid("SETTINGS_INVALID", `settings: ${place}: ${reason}`);
}

/** A member that has to be an object; empty when it is absent. */
export function memberObject(holder: JsonObject, name: string, path = name): JsonObject {
  if (holder[name] === undefined) return {};
  return objectIn(holder[name]) ?? refuse(path, "is no JSON object");
}
