import { isIP } from "node:net";
import { shadowsocksPassword } from "../../credentials.ts";
import { type JsonObject, objectIn } from "../../fleet/json-object.ts";
import { poolOf, wireGuardPublicKey } from "../../fleet/protocols/wireguard.ts";
import { isRange, singlesOf } from "../../wireguard/address-pool.ts";
import { isWireGuardKey } from "../../wireguard/wireguard-keys.ts";
import type { Access } from "../endpoint.ts";
import type { ViewedLink } from "../subscription-view.ts";
import { textIn, textsIn, wholeIn } from "./lenient.ts";
import type { LinkSettings } from "./link-settings.ts";
import { readSalamander } from "./masks.ts";
import { vlessEncryption } from "./vless-encryption.ts";

/**
 * Makes what a server knows a user by from the user's credential, and from the number of the user's address where the
 * protocol has such. Undefined when the user cannot connect.
 */
export type AccessOf = (link: ViewedLink, number: number | undefined) => Access | undefined;

/**
 * How users of a protocol with these settings are known, as the configs of nodes have it (`render/xray-clients.ts`,
 * `render/mtproto.ts`, `render/wireguard.ts`). Undefined when clients cannot be told.
 */
export function readAccess(protocol: string, settings: JsonObject, link: LinkSettings): AccessOf | undefined {
  return readers.get(protocol)?.(settings, link);
}

type Read = (settings: JsonObject, link: LinkSettings) => AccessOf | undefined;

const vless: Read = (settings) => {
  const own = objectIn(settings.settings) ?? {};
  const encryption = vlessEncryption(textIn(own, "decryption"));
  if (encryption === undefined) return undefined;
  const flow = textIn(own, "flow");
  return ({ uuid, secret }) => ({ protocol: "vless", id: secret || uuid, flow, encryption });
};

const shadowsocks: Read = (settings) => {
  const own = objectIn(settings.settings) ?? {};
  const given = textIn(own, "method") || "chacha20-ietf-poly1305";
  const method = ietfNames.get(given) ?? given;
  const serverKey = method.startsWith("2022-") ? `${textIn(own, "password")}:` : "";
  const udp = textIn(own, "network").split(",").includes("udp");
  return ({ secret }) => ({
    protocol: "shadowsocks",
    method,
    password: serverKey + shadowsocksPassword(method, secret),
    udp,
  });
};

// Xray knows both; other programs the ones on the right alone.
const ietfNames = new Map([
  ["chacha20-poly1305", "chacha20-ietf-poly1305"],
  ["xchacha20-poly1305", "xchacha20-ietf-poly1305"],
]);

const hysteria2: Read = (settings) => {
  const obfs = readSalamander(objectIn(settings.streamSettings) ?? {});
  return ({ secret }) => ({ protocol: "hysteria2", auth: secret, obfs });
};

const mtproto: Read = (settings, { sni }) => {
  const modes = textsIn(settings, "modes");
  const [ownDomain] = textsIn(settings, "tlsDomains");
  const usual = ownDomain === undefined ? "secure" : "tls";
  // The one that is told apart from other traffic with the most trouble.
  const mode = ["tls", "secure", "classic"].find((one) => modes.includes(one)) ?? usual;
  const prefix = { tls: "ee", secure: "dd" }[mode] ?? "";
  const suffix = mode === "tls" ? Buffer.from(sni || (ownDomain ?? "")).toString("hex") : "";
  return ({ secret }) => ({ protocol: "mtproto", secret: prefix + secret.toLowerCase() + suffix });
};

const wireguard: Read = (settings) => {
  const pool = poolOf(settings);
  const serverKey = wireGuardPublicKey(settings);
  if (pool === undefined || serverKey === "") return undefined;
  const common = {
    serverKey,
    preSharedKey: isWireGuardKey(settings.preSharedKey) ? settings.preSharedKey : "",
    // In a config a text that is none of these could be a line of its own.
    dns: textsIn(settings, "dns").filter((address) => isIP(address) !== 0),
    mtu: wholeIn(settings, "mtu", 1),
    allowedIps: textsIn(settings, "allowedIps").filter(isRange),
    keepaliveSeconds: wholeIn(settings, "persistentKeepalive", 0) ?? 0,
  };
  return ({ secret }, number) => {
    if (number === undefined || !isWireGuardKey(secret)) return undefined;
    return { protocol: "wireguard", privateKey: secret, addresses: singlesOf(pool, number), ...common };
  };
};

const readers: ReadonlyMap<string, Read> = new Map<string, Read>([
  ["vless", vless],
  ["vmess", () => (link) => ({ protocol: "vmess", id: link.secret || link.uuid })],
  ["trojan", () => (link) => ({ protocol: "trojan", password: link.secret })],
  ["shadowsocks", shadowsocks],
  ["hysteria2", hysteria2],
  ["mtproto", mtproto],
  ["wireguard", wireguard],
]);
