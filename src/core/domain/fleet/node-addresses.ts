import { readHost } from "../subscription-links/reading/host.ts";
import { Invalid } from "./situations.ts";

/** Where end users reach a node. Empty or undefined: not given. */
export interface NodeAddresses {
  readonly host?: string | undefined;
  readonly ip?: string | undefined;
}

/**
 * Checks what operators say of it: links would leave the node out without a word. Throws {@link Invalid} with
 * FIELD_INVALID.
 */
export function checkNodeAddresses({ host = "", ip = "" }: NodeAddresses): void {
  if (host !== "" && readHost(host) === "") {
    throw new Invalid("FIELD_INVALID", "host: is no host name and no address: give it without scheme, port and blanks");
  }
  // The rule of the field takes addresses with a zone, which names an interface of one machine.
  if (ip !== "" && readHost(ip) === "")
    throw new Invalid("FIELD_INVALID", "ip: has a zone: give the address without it");
}
