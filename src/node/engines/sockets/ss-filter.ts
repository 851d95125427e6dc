import { isIPv6 } from "node:net";

/** Ports from one to another, both included. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** Connections of one peer to ports of this machine. */
export interface CutTarget {
  /** An IP address, IPv6 without brackets. An IPv4 address also means the peers of IPv6 sockets that come from it. */
  readonly peer: string;
  /** At least one. */
  readonly ports: readonly PortRange[];
  /** The address of this machine that is connected to. Undefined: any. */
  readonly localAddress: string | undefined;
}

/** A connection that was cut. */
export interface CutConnection {
  readonly localPort: number;
  /** An IP address, IPv6 without brackets. An IPv4 address in that form, whatever the socket is. */
  readonly peer: string;
}

/** Filters for `ss` that select these connections and no others: few, none of which is too long for the kernel. */
export function filtersOf(targets: readonly CutTarget[]): string[] {
  const peersOf = new Map<string, Set<string>>();
  for (const { peer, ports, localAddress } of targets) {
    const local = localOf(ports, localAddress);
    const peers = peersOf.get(local);
    if (peers === undefined) peersOf.set(local, new Set([peer]));
    else peers.add(peer);
  }
  const filters: string[] = [];
  let terms: string[] = [];
  let room = mostPeers;
  for (const [local, set] of peersOf) {
    const peers = [...set];
    while (peers.length > 0) {
      const some = peers.splice(0, room);
      terms.push(`( ${local} and ( ${some.map((peer) => `dst = ${hostOf(peer)}`).join(" or ")} ) )`);
      room -= some.length;
      if (room > 0) continue;
      filters.push(terms.join(" or "));
      [terms, room] = [[], mostPeers];
    }
  }
  return terms.length === 0 ? filters : [...filters, terms.join(" or ")];
}

/** Of the 64 KiB that the kernel takes at most, a peer uses up to 36 bytes. */
const mostPeers = 500;

function localOf(ports: readonly PortRange[], address: string | undefined): string {
  const anyPort = ports.map(({ from, to }) =>
    from === to ? `sport = :${from}` : `( sport >= :${from} and sport <= :${to} )`,
  );
  const port = `( ${anyPort.join(" or ")} )`;
  return address === undefined ? port : `src = ${hostOf(address)} and ${port}`;
}

function hostOf(address: string): string {
  return isIPv6(address) ? `[${address}]` : address;
}
