import { elementsOf, membersOf } from "./json-spans.ts";

/** An inbound of Xray as it stands in a config, its users apart. */
export interface InboundParts {
  readonly tag: string;
  readonly text: string;
  /** All but its users, to be compared. */
  readonly shell: string;
  /** Its users, an array. */
  readonly clients: string;
}

/** Takes inbounds apart. */
export function byTag(inbounds: readonly string[]): Map<string, InboundParts> {
  return new Map(inbounds.map(inboundParts).map((inbound) => [inbound.tag, inbound]));
}

/** Users of an inbound, each as its text, by `email`. */
export function byEmail(clients: string): Map<string, string> {
  return new Map(elementsOf(clients).map((client) => [(JSON.parse(client) as { email: string }).email, client]));
}

function inboundParts(text: string): InboundParts {
  const { settings = "{}", ...rest } = Object.fromEntries(membersOf(text));
  const { clients = "[]", ...others } = Object.fromEntries(membersOf(settings));
  return {
    tag: JSON.parse(rest.tag ?? '""'),
    text,
    shell: JSON.stringify([rest, others]),
    clients,
  };
}
