import { BlockList, isIPv4 } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";

const local = new BlockList();
for (const [network, prefix] of [
  ["10.0.0.0", 8],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["100.64.0.0", 10],
  ["169.254.0.0", 16],
  ["127.0.0.0", 8],
] as const)
  local.addSubnet(network, prefix, "ipv4");
local.addSubnet("fc00::", 7, "ipv6");
local.addSubnet("fe80::", 10, "ipv6");
local.addAddress("::1", "ipv6");

/** An address is one that others can reach from anywhere. */
export function isPublic(address: string): boolean {
  return !local.check(address, isIPv4(address) ? "ipv4" : "ipv6");
}

/**
 * The address of this machine that others most likely reach it by: a public one, IPv4 first. Those of tunnels, which are
 * named, are none: only users reach them.
 */
export function ownAddress(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>, tunnels: readonly string[] = []): string {
  const addresses = Object.entries(interfaces)
    .flatMap(([name, some = []]) => (tunnels.includes(name) ? [] : some))
    .filter(({ internal }) => !internal)
    .map(({ address }) => address.replace(/%.*$/, ""));
  const rank = (address: string) => (isPublic(address) ? 0 : 2) + (isIPv4(address) ? 0 : 1);
  return addresses.toSorted((one, other) => rank(one) - rank(other))[0] ?? "127.0.0.1";
}
