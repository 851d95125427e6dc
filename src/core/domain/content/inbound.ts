import { elementsOf, membersOf } from "./json-spans.ts";

/** An inbound of Xray as it stands in a config, its users apart. */
export interface InboundParts {
  readonly tag: string;
  readonly text: string;
  /** All but its users, to be compared. */
  readonly shell: string;
  /** Each user as its text, by `email`. */
  clients(): Map<string, string>;
}

/** Takes an inbound apart. Its users are read only when they are asked for. */
export function inboundParts(text: string): InboundParts {
  const { settings = "{}", ...rest } = Object.fromEntries(membersOf(text));
  const { clients = "[]", ...others } = Object.fromEntries(membersOf(settings));
  return {
    tag: JSON.parse(rest.tag ?? '""'),
    text,
    shell: JSON.stringify([rest, others]),
    clients: () => new Map(elementsOf(clients).map((client) => [emailOf(client), client])),
  };
}

/** The `email` of a user of an inbound. */
export function emailOf(client: string): string {
  return (JSON.parse(client) as { email: string }).email;
}
