import type { CutConnection } from "./ss-filter.ts";

/** The connections that `ss -tn` lists, one a line. */
export function readConnections(stdout: string): CutConnection[] {
  return stdout.split("\n").flatMap((line) => {
    // The state, two queues, then the two ends; before and behind them other columns may stand.
    const [local, peer] = line.split(/\s+/).filter((word) => endpoint.test(word));
    const port = local && endpoint.exec(local)?.groups?.port;
    const address = peer && endpoint.exec(peer)?.groups?.address;
    return port && address ? [{ localPort: Number(port), peer: canonicalAddress(address) }] : [];
  });
}

// `10.0.0.1:443`, `[2001:db8::1]:443`, and with a device: `[fe80::1]%eth0:443`.
const endpoint = /^\[?(?<address>[0-9a-f.:]+)\]?(?:%[^:]+)?:(?<port>\d+)$/;

/**
 * One spelling for each address: IPv6 without brackets, as short as it goes and in small letters; an IPv4 address in
 * that form also where an IPv6 socket has it. What is no address comes back as it is.
 */
export function canonicalAddress(text: string): string {
  const bare = text.replace(/^\[(.*)\]$/, "$1");
  if (!bare.includes(":")) return bare;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1];
  if (mapped !== undefined) return mapped;
  const { hostname } = URL.parse(`http://[${bare}]`) ?? {};
  return hostname === undefined ? bare : hostname.slice(1, -1);
}
