import { elementsOf, membersOf } from "./json-spans.ts";

/** An interface of WireGuard as it stands in a config, its users apart. */
interface InterfaceParts {
  readonly tag: string;
  /** All but its users, to be compared. */
  readonly shell: string;
  /** Its users, an array. */
  readonly users: string;
}

/** Takes the interface of `services.wireguard` apart. Undefined where there is none, or are more. */
export function soleInterface(service: string | undefined): InterfaceParts | undefined {
  const [text, ...others] = elementsOf(membersOf(service ?? "{}").get("inbounds") ?? "[]");
  if (text === undefined || others.length > 0) return undefined;
  const { users = "[]", ...rest } = Object.fromEntries(membersOf(text));
  return { tag: JSON.parse(rest.tag ?? '""'), shell: JSON.stringify(rest), users };
}

/** Users of an interface, each as its text, by the UUID of their link. */
export function byLink(users: string): Map<string, string> {
  return new Map(elementsOf(users).map((user) => [(JSON.parse(user) as { linkUuid: string }).linkUuid, user]));
}
