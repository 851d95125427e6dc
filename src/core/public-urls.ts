import { isIP } from "node:net";
import type { CertificateNames } from "../platform/identity/certificate-names.ts";

// More of them only make an enrolment code long.
const mostAddresses = 4;

/**
 * Where nodes and users reach Core, best first: what the operator says, else what is guessed of the server's own URL, by
 * {@link guessedUrls}.
 */
export function urlsOf(publicUrls: readonly string[], listening: string, machine: CertificateNames): readonly string[] {
  return publicUrls.length > 0 ? publicUrls : guessedUrls(listening, machine);
}

/**
 * Where Core is reached when nobody says: the address that it listens on, or with every address those of the machine
 * that others can reach, else the loopback one.
 *
 * @param listening what the server listens on, such as `https://0.0.0.0:8080`
 */
export function guessedUrls(listening: string, machine: CertificateNames): string[] {
  const { protocol, hostname, port } = new URL(listening);
  const origin = (host: string) => new URL(`${protocol}//${host}:${port}`).origin;
  if (hostname !== "0.0.0.0" && hostname !== "[::]") return [origin(hostname)];
  const usable = machine.addresses.filter(
    (address) => !isLoopback(address) && (hostname === "[::]" || isIP(address) === 4),
  );
  const chosen = usable.length > 0 ? usable.slice(0, mostAddresses) : ["127.0.0.1"];
  return chosen.map((address) => origin(isIP(address) === 6 ? `[${address}]` : address));
}

/** The names of a machine, and of the URLs that it is reached by besides. */
export function namesWith(machine: CertificateNames, urls: readonly string[]): CertificateNames {
  const hosts = urls.map((url) => new URL(url).hostname.replace(/^\[(.*)\]$/, "$1"));
  return {
    hostNames: [...new Set([...hosts.filter((host) => isIP(host) === 0), ...machine.hostNames])],
    addresses: [...new Set([...hosts.filter((host) => isIP(host) !== 0), ...machine.addresses])],
  };
}

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}
