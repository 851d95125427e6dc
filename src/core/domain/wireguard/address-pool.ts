import ipaddr from "ipaddr.js";

/**
 * The ranges that an interface of WireGuard and its users have their addresses from. An address is known by its number,
 * which is the same in all ranges: 10.66.0.2 and fd66::2 have the number 2.
 */
export interface AddressPool {
  /** At most one of IPv4, which is first, and one of IPv6. */
  readonly ranges: readonly AddressRange[];
  /** The highest number that all ranges have. Users have those from {@link firstNumber} on. */
  readonly lastNumber: number;
}

/** A range of addresses, such as `10.66.0.0/16`. */
export interface AddressRange {
  readonly family: "ipv4" | "ipv6";
  readonly prefix: number;
  /** Of its first address. */
  readonly bytes: readonly number[];
}

/** The number of the interface's own addresses: the first ones. */
export const ownNumber = 1;
/** The lowest number of a user's addresses. */
export const firstNumber = ownNumber + 1;

/** How many users a pool has addresses for. */
export function roomOf({ lastNumber }: AddressPool): number {
  return lastNumber - ownNumber;
}

/** The addresses of a number, by range. */
export function addressesOf({ ranges }: AddressPool, number: number): string[] {
  return ranges.map(({ bytes }) => {
    const address = [...bytes];
    for (let at = address.length - 1, rest = number; rest > 0; at--, rest = Math.floor(rest / 256)) {
      address[at] = (address[at] ?? 0) | (rest % 256);
    }
    return ipaddr.fromByteArray(address).toString();
  });
}

/** The addresses of a number, each as a range of one: `10.66.0.2/32`. */
export function singlesOf(pool: AddressPool, number: number): string[] {
  return addressesOf(pool, number).map((address, index) => `${address}/${bitsOf(pool.ranges[index])}`);
}

/** The addresses of a number, each with the prefix of its range: `10.66.0.1/16`. */
export function prefixedOf(pool: AddressPool, number: number): string[] {
  return addressesOf(pool, number).map((address, index) => `${address}/${pool.ranges[index]?.prefix}`);
}

/** A range as it was given cannot be one of a pool: `reason` says why, in words that follow on it. */
export interface RangeRefused {
  readonly index: number;
  readonly reason: string;
}

/** Reads a pool. */
export function readPool(given: readonly string[]): AddressPool | RangeRefused {
  const ranges: AddressRange[] = [];
  for (const [index, text] of given.entries()) {
    const range = readRange(text);
    if (typeof range === "string") return { index, reason: range };
    if (ranges.some(({ family }) => family === range.family)) {
      return { index, reason: "is one more of its family: there may be one of IPv4, and one of IPv6" };
    }
    ranges.push(range);
  }
  if (ranges.length === 0) return { index: 0, reason: "is missing: users need addresses" };
  ranges.sort((a, b) => a.bytes.length - b.bytes.length);
  return { ranges, lastNumber: Math.min(...ranges.map(lastIn)) };
}

/** Whether it is a pool. */
export function isPool(read: AddressPool | RangeRefused): read is AddressPool {
  return "ranges" in read;
}

/** A range as it is written. */
export function rangeText({ bytes, prefix }: AddressRange): string {
  return `${ipaddr.fromByteArray([...bytes])}/${prefix}`;
}

/** Whether a text is a range of addresses, as `0.0.0.0/0` is. */
export function isRange(text: string): boolean {
  // A zone belongs to one machine.
  return ipaddr.IPv4.isValidCIDRFourPartDecimal(text) || (ipaddr.IPv6.isValidCIDR(text) && !text.includes("%"));
}

function readRange(text: string): AddressRange | string {
  if (!isRange(text)) return "is no range, such as 10.66.0.0/16";
  const isIpv4 = !text.includes(":");
  const [address, prefix] = ipaddr.parseCIDR(text);
  const first = (isIpv4 ? ipaddr.IPv4 : ipaddr.IPv6).networkAddressFromCIDR(text);
  const range = { family: address.kind(), prefix, bytes: first.toByteArray() };
  if (address.toString() !== first.toString()) {
    return `has bits behind its prefix: write ${rangeText(range)}; the node has the first address in it`;
  }
  const [least, most] = isIpv4 ? [8, 30] : [16, 126];
  if (prefix < least || prefix > most) return `has the prefix /${prefix}: write one from /${least} to /${most}`;
  return unusable.has(address.range()) ? `is ${address.range()}: no user can have an address of that` : range;
}

const unusable = new Set(["unspecified", "broadcast", "multicast", "linkLocal", "loopback", "ipv4Mapped"]);

/** The highest number of a range: without the address of IPv4 that is for all. */
function lastIn({ family, prefix }: AddressRange): number {
  const bits = family === "ipv4" ? 32 - prefix : 128 - prefix;
  return Math.min(2 ** bits - (family === "ipv4" ? 2 : 1), mostNumber);
}

/** As many as the largest range of IPv4 has. */
const mostNumber = 2 ** 24 - 2;

function bitsOf(range: AddressRange | undefined): number {
  return range?.family === "ipv4" ? 32 : 128;
}
