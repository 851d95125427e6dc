import ipaddr from "ipaddr.js";

/** A range of addresses. */
export interface Cidr {
  /** Canonical, with the bits behind the prefix cleared: `10.8.0.0/24`. */
  readonly range: string;
  /** Canonical, as it was written: `10.8.0.1/24`. */
  readonly address: string;
  readonly prefix: number;
  readonly family: "ipv4" | "ipv6";
}

/** Reads a range, `<address>/<prefix>`. Undefined for anything else, such as an address alone. */
export function readCidr(text: string): Cidr | undefined {
  const isIpv4 = ipaddr.IPv4.isValidCIDRFourPartDecimal(text);
  // A zone belongs to one machine.
  if (!isIpv4 && (!ipaddr.IPv6.isValidCIDR(text) || text.includes("%"))) return undefined;
  const [address, prefix] = ipaddr.parseCIDR(text);
  const network = (isIpv4 ? ipaddr.IPv4 : ipaddr.IPv6).networkAddressFromCIDR(text);
  return { range: `${network}/${prefix}`, address: `${address}/${prefix}`, prefix, family: address.kind() };
}

/** Whether a range lies within another. */
export function isWithin(inner: Cidr, outer: Cidr): boolean {
  if (inner.family !== outer.family || inner.prefix < outer.prefix) return false;
  return ipaddr.parseCIDR(inner.range)[0].match(ipaddr.parseCIDR(outer.range));
}
