import { isIP } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";

/** What a certificate is valid for. */
export interface CertificateNames {
  readonly hostNames: readonly string[];
  readonly addresses: readonly string[];
}

/**
 * What this machine can be reached by: `localhost`, its host name, and the addresses of its interfaces, but for those
 * that only mean something on one link. Those of tunnels are last: few can reach them.
 *
 * @param hostName as `os.hostname()` says
 * @param interfaces as `os.networkInterfaces()` says
 */
export function namesOfMachine(
  hostName: string,
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>,
): CertificateNames {
  const own = Object.values(interfaces)
    .flatMap((addresses) => addresses ?? [])
    .toSorted((one, other) => Number(isTunnels(one)) - Number(isTunnels(other)))
    .map(({ address }) => address)
    .filter((address) => isIP(address) !== 0 && !isLinkLocal(address));
  return {
    hostNames: [...new Set(["localhost", hostName.toLowerCase()])].filter(isHostName),
    addresses: [...new Set(["127.0.0.1", "::1", ...own])],
  };
}

/** A tunnel has no address of hardware; neither has a line by PPP, which may be the only way to the internet. */
function isTunnels({ mac }: NetworkInterfaceInfo): boolean {
  return mac === "00:00:00:00:00:00";
}

function isLinkLocal(address: string): boolean {
  return /^(fe[89ab].:|169\.254\.)/i.test(address);
}

// A machine may be called anything. A name that ends in a number is an address, or none.
function isHostName(name: string): boolean {
  const label = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?";
  const endsInNumber = /(^|\.)(\d+|0x[0-9a-f]*)$/.test(name);
  return name.length <= 253 && !endsInNumber && new RegExp(`^${label}(\\.${label})*$`).test(name);
}
