import type { JsonObject } from "../json-object.ts";
import type { Random } from "../random.ts";
import { completeMtproto } from "./mtproto.ts";
import { memberObject, refuse } from "./refuse.ts";
import { completeShadowsocks } from "./shadowsocks.ts";
import { completeStream } from "./stream.ts";
import { completeWireGuard } from "./wireguard.ts";

/** The protocols that nodes serve, by the spelling of `VpnProtocol`. */
export const servedProtocols = [
  "vless",
  "vmess",
  "trojan",
  "shadowsocks",
  "hysteria2",
  "mtproto",
  "wireguard",
] as const;
/** One of {@link servedProtocols}. */
export type ServedProtocol = (typeof servedProtocols)[number];

/** The protocol of a spelling, which was checked when it came in. */
export function servedProtocol(spelling: string): ServedProtocol {
  const found = servedProtocols.find((served) => served === spelling);
  if (found === undefined) throw new TypeError(`nodes serve no ${spelling}`);
  return found;
}

/**
 * Checks the settings of a protocol, as `CreateNodeProtocolRequest` describes them, and completes what is random and cannot
 * be done without. Whether the engine takes all of it only the engine can say. Throws `Invalid` with
 * SETTINGS_INVALID, naming the place.
 *
 * @param before what `given` takes the place of
 */
export function completeSettings(
  protocol: ServedProtocol,
  given: JsonObject,
  random: Random,
  before: JsonObject = {},
): JsonObject {
  if (protocol === "mtproto") return completeMtproto(given);
  if (protocol === "wireguard") return completeWireGuard(given, random, before);
  for (const name of Object.keys(given)) {
    if (!inboundMembers.includes(name)) refuse(name, `is none of ${inboundMembers.join(", ")}`);
  }
  const settings = memberObject(given, "settings");
  for (const name of ["clients", "users", "accounts"]) {
    if (name in settings) refuse(`settings.${name}`, "users are added by their subscriptions, not here");
  }
  memberObject(given, "sniffing");
  const stream = completeStream(memberObject(given, "streamSettings"), random);
  const complete = completers[protocol]?.(settings, stream, random) ?? settings;
  return {
    ...given,
    ...(Object.keys(complete).length > 0 && { settings: complete }),
    ...(Object.keys(stream).length > 0 && { streamSettings: stream }),
  };
}

const inboundMembers = ["settings", "streamSettings", "sniffing"];

type Complete = (settings: JsonObject, stream: JsonObject, random: Random) => JsonObject;

const completers: Partial<Record<ServedProtocol, Complete>> = {
  vless(settings, stream) {
    const { flow = "", decryption = "none" } = settings;
    if (typeof decryption !== "string") refuse("settings.decryption", "is no string");
    if (flow === "") return settings;
    if (flow !== "xtls-rprx-vision") refuse("settings.flow", "is neither empty nor xtls-rprx-vision");
    const { network = "raw", security = "none" } = stream;
    if (security === "none" || (network !== "raw" && network !== "tcp")) {
      refuse("settings.flow", "xtls-rprx-vision needs streamSettings with network raw and security tls or reality");
    }
    return settings;
  },
  shadowsocks: completeShadowsocks,
  hysteria2(settings, stream) {
    if (stream.network !== "hysteria" || stream.security !== "tls") {
      refuse("streamSettings", "Hysteria 2 needs network hysteria and security tls");
    }
    return settings;
  },
};
