import { isIP, isIPv6 } from "node:net";
import type { PortRange } from "../sockets/ss-filter.ts";
import { getField, type Json, type JsonObject } from "./json-object.ts";

/** Where an inbound takes connections, as far as its config tells. */
export interface Listener {
  readonly tag: string;
  /** Where it takes TCP. Undefined for an inbound that takes none, or that listens on a unix socket. */
  readonly tcp: { readonly ports: readonly PortRange[]; readonly localAddress: string | undefined } | undefined;
  /** It takes UDP. */
  readonly udp: boolean;
  /** Its peers are not its users: it listens on a unix socket, or is told the users' addresses by what stands before it. */
  readonly indirect: boolean;
}

/** Reads where an inbound listens. Whatever Xray would refuse is taken for nowhere. */
export function listenerOf(tag: string, inbound: JsonObject): Listener {
  const listen = textOf(getField(inbound, "listen"));
  const stream = fieldOf(inbound, "streamSettings");
  const onSocket = listen.startsWith("/") || listen.startsWith("@");
  const ports = onSocket ? [] : portsOf(getField(inbound, "port"));
  const { tcp, udp } = networksOf(inbound, stream);
  return {
    tag,
    tcp: tcp && ports.length > 0 ? { ports, localAddress: localAddressOf(listen) } : undefined,
    udp,
    indirect: onSocket || transports.some((name) => takesProxyProtocol(fieldOf(stream, name))),
  };
}

/** The ports of an inbound, as Xray reads them: `443`, `"443"`, `"1000-2000"`, `"80, 1000-2000"`. */
function portsOf(port: Json | undefined): PortRange[] {
  if (typeof port === "number") return rangeOf(String(port));
  return typeof port === "string" ? port.split(",").flatMap((item) => rangeOf(item.trim())) : [];
}

function rangeOf(text: string): PortRange[] {
  const [, from, to = from] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  const range = { from: Number(from), to: Number(to) };
  return range.from > 0 && range.from <= range.to && range.to <= 65_535 ? [range] : [];
}

/** The one address that it listens on. Every address, of both families, is what Xray makes of `0.0.0.0`, too. */
function localAddressOf(listen: string): string | undefined {
  const address = listen.replace(/^\[(.*)\]$/, "$1");
  const isAny = isIP(address) === 0 || address === "0.0.0.0" || (isIPv6(address) && /^[0:]+$/.test(address));
  return isAny ? undefined : address;
}

function networksOf(inbound: JsonObject, stream: JsonObject): { tcp: boolean; udp: boolean } {
  const protocol = textOf(getField(inbound, "protocol")).toLowerCase();
  const transport = textOf(getField(stream, "network")).toLowerCase();
  const alpn = getField(fieldOf(stream, "tlsSettings"), "alpn");
  const isHttp3 = ["xhttp", "splithttp"].includes(transport) && [alpn].flat().join() === "h3";
  if (["hysteria", "wireguard"].includes(protocol) || ["hysteria", "kcp", "mkcp"].includes(transport) || isHttp3) {
    return { tcp: false, udp: true };
  }
  if (protocol !== "shadowsocks") return { tcp: true, udp: false };
  const network = getField(fieldOf(inbound, "settings"), "network") ?? "tcp";
  const names = [network]
    .flat()
    .join()
    .toLowerCase()
    .split(",")
    .map((name) => name.trim());
  return { tcp: names.includes("tcp"), udp: names.includes("udp") };
}

const transports = ["sockopt", "tcpSettings", "rawSettings", "wsSettings", "httpupgradeSettings"];

function takesProxyProtocol(settings: JsonObject): boolean {
  return getField(settings, "acceptProxyProtocol") === true;
}

/** The users that stand in the config of an inbound, whatever its protocol calls them. */
export function usersWrittenIn(inbound: JsonObject): string[] {
  const settings = fieldOf(inbound, "settings");
  const lists = ["clients", "users", "accounts"].map((name) => getField(settings, name));
  return lists.flatMap((list) =>
    (Array.isArray(list) ? list : []).flatMap((item) => {
      const user = objectOf(item);
      return [getField(user, "email"), getField(user, "user")].map(textOf).filter((name) => name !== "");
    }),
  );
}

function fieldOf(object: JsonObject, name: string): JsonObject {
  return objectOf(getField(object, name));
}

function objectOf(value: Json | undefined): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
}

function textOf(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}
