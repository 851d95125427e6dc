import type { Access, Endpoint } from "../../endpoint.ts";
import { authority } from "../authority.ts";

/** An endpoint of WireGuard. */
export type WireGuardEndpoint = Endpoint & { readonly access: Extract<Access, { protocol: "wireguard" }> };

/** Whether an endpoint is one of WireGuard. */
export function isWireGuard(endpoint: Endpoint): endpoint is WireGuardEndpoint {
  return endpoint.access.protocol === "wireguard";
}

/** What a WireGuard app reads, from a file or a QR code. */
export function wireGuardConfig(endpoint: WireGuardEndpoint): string {
  const { privateKey, addresses, serverKey, preSharedKey, dns, mtu, allowedIps, keepaliveSeconds } = endpoint.access;
  return [
    "[Interface]",
    `PrivateKey = ${privateKey}`,
    `Address = ${addresses.join(", ")}`,
    ...(dns.length > 0 ? [`DNS = ${dns.join(", ")}`] : []),
    ...(mtu === undefined ? [] : [`MTU = ${mtu}`]),
    "",
    "[Peer]",
    `PublicKey = ${serverKey}`,
    ...(preSharedKey === "" ? [] : [`PresharedKey = ${preSharedKey}`]),
    `AllowedIPs = ${allowedIps.join(", ")}`,
    `Endpoint = ${authority(endpoint)}`,
    ...(keepaliveSeconds === 0 ? [] : [`PersistentKeepalive = ${keepaliveSeconds}`]),
    "",
  ].join("\n");
}

/**
 * The names of the files of those endpoints that are of WireGuard: no two are the same. Apps make the name of a tunnel of
 * it, which is that of an interface: at most 15 characters, of letters, digits and `_=+.-`.
 */
export function fileNames(endpoints: readonly Endpoint[]): Map<Endpoint, string> {
  const taken = new Set<string>();
  const names = new Map<Endpoint, string>();
  for (const endpoint of endpoints.filter(isWireGuard)) {
    const { name, nodeProtocolId } = endpoint;
    const latin = name.normalize("NFKD").replace(/\p{M}/gu, "");
    const plain = trimmed(latin.replace(/[^A-Za-z0-9_=+.-]+/g, "-"), mostOfName);
    let wanted = plain;
    for (let number = 1; wanted === "" || taken.has(wanted.toLowerCase()); number++) {
      const own = number === 1 ? `-${nodeProtocolId}` : `-${nodeProtocolId}-${number}`;
      wanted = trimmed(plain || "wg", mostOfName - own.length) + own;
    }
    taken.add(wanted.toLowerCase());
    names.set(endpoint, `${wanted}.conf`);
  }
  return names;
}

const mostOfName = 15;

function trimmed(name: string, most: number): string {
  return name
    .replace(/^[-.]+/, "")
    .slice(0, most)
    .replace(/[-.]+$/, "");
}
