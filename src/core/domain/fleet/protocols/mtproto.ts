import type { JsonObject } from "../json-object.ts";
import { memberObject, refuse } from "./refuse.ts";

/** Checks the settings of MTProto, and fills in the modes. */
export function completeMtproto(given: JsonObject): JsonObject {
  for (const name of Object.keys(given)) {
    if (!members.includes(name)) refuse(name, `is none of ${members.join(", ")}`);
  }
  const domains = textsIn(given, "tlsDomains");
  const modes = textsIn(given, "modes");
  for (const [index, domain] of domains.entries()) {
    if (!domainName.test(domain)) refuse(`tlsDomains[${index}]`, "is no domain name");
  }
  for (const [index, mode] of modes.entries()) {
    if (!knownModes.includes(mode)) refuse(`modes[${index}]`, `is none of ${knownModes.join(", ")}`);
  }
  if (modes.includes("tls") && domains.length === 0)
    refuse("tlsDomains", "the mode tls needs a domain to pretend to be");
  memberObject(given, "settings");
  const usual = domains.length > 0 ? "tls" : "secure";
  return { ...given, modes: modes.length > 0 ? [...new Set(modes)] : [usual] };
}

const members = ["modes", "tlsDomains", "settings"];
const knownModes = ["classic", "secure", "tls"];
const domainName = /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/i;

function textsIn(given: JsonObject, name: string): string[] {
  const value = given[name] ?? [];
  if (Array.isArray(value) && value.every((element) => typeof element === "string")) return value;
  return refuse(name, "is no list of strings");
}
