import { isIP } from "node:net";
import { domainToASCII } from "node:url";

/** A host as clients take it: an address, IPv6 without brackets, or a name in ASCII. Empty when it is neither. */
export function readHost(text: string): string {
  const bare = text.replace(/^\[(.*)\]$/, "$1");
  // A zone is an interface of the machine that has it, and no other knows it.
  if (isIP(bare) !== 0 && !bare.includes("%")) return bare;
  // Tested before as well: it reads URLs, where a slash or a tab is no part of the name.
  const name = nameLike.test(bare) ? domainToASCII(bare) : "";
  return nameLike.test(name) && name.length <= 253 ? name : "";
}

// Agents tell hosts as well: what ends a host in a URL, or a line, could add ways that no operator knows of.
const nameLike = /^[\w.\-\P{ASCII}]+$/u;
