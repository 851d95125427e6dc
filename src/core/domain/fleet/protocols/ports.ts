import { type JsonObject, objectIn } from "../json-object.ts";
import type { ServedProtocol } from "./settings.ts";

/** Where an inbound listens. */
export interface Listening {
  readonly protocol: ServedProtocol;
  /** Empty: all addresses. */
  readonly listen: string;
  readonly port: number;
  readonly settings: JsonObject;
}

/** Whether two inbounds of one server would want the same port: its number, a transport and an address in common. */
export function collide(one: Listening, other: Listening): boolean {
  if (one.port !== other.port || !transportsOf(one).some((transport) => transportsOf(other).includes(transport))) {
    return false;
  }
  return isAny(one.listen) || isAny(other.listen) || one.listen.toLowerCase() === other.listen.toLowerCase();
}

function transportsOf({ protocol, settings }: Listening): readonly string[] {
  if (protocol === "mtproto") return ["tcp"];
  if (protocol === "hysteria2" || protocol === "wireguard") return ["udp"];
  if (protocol === "shadowsocks") return String(objectIn(settings.settings)?.network ?? "tcp").split(",");
  const { network, tlsSettings } = objectIn(settings.streamSettings) ?? {};
  if (network === "kcp" || network === "mkcp") return ["udp"];
  if (network !== "xhttp" && network !== "splithttp") return ["tcp"];
  // HTTP/3, and nothing else, is what a sole `h3` asks for.
  const alpn = objectIn(tlsSettings)?.alpn;
  return Array.isArray(alpn) && alpn.length === 1 && alpn[0] === "h3" ? ["udp"] : ["tcp"];
}

function isAny(listen: string): boolean {
  return listen === "" || listen === "0.0.0.0" || listen === "::";
}
