import { makePrivateKey, publicKeyOf } from "../wireguard/wireguard-keys.ts";
import type { ServedProtocol } from "./protocols/settings.ts";
import { type Random, randomUuid } from "./random.ts";

/** The credential of a subscription for one protocol. */
export interface LinkCredential {
  /** In lower case. */
  readonly uuid: string;
  readonly secret: string;
  /** The public key, where the secret is a private one; else empty. */
  readonly publicKey: string;
}

/**
 * Makes a credential: for VLESS and VMess the UUID itself, for Trojan and Hysteria 2 a password of 192 bits, for
 * Shadowsocks a key of 32 bytes in base64 (from which those of other lengths are made), for MTProto 32 hex digits, for
 * WireGuard a pair of keys.
 */
export function makeLinkCredential(protocol: ServedProtocol, random: Random): LinkCredential {
  const uuid = randomUuid(random);
  const secret = makeSecret(protocol, uuid, random);
  return { uuid, secret, publicKey: protocol === "wireguard" ? publicKeyOf(secret) : "" };
}

function makeSecret(protocol: ServedProtocol, uuid: string, random: Random): string {
  switch (protocol) {
    case "vless":
    case "vmess":
      return uuid;
    case "trojan":
    case "hysteria2":
      return random(24).toString("base64url");
    case "shadowsocks":
      return random(32).toString("base64");
    case "mtproto":
      return random(16).toString("hex");
    case "wireguard":
      return makePrivateKey(random);
  }
}
