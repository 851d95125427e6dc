import type { ServedProtocol } from "./protocols/settings.ts";
import { type Random, randomUuid } from "./random.ts";

/** The credential of a subscription for one protocol. */
export interface LinkCredential {
  /** In lower case. */
  readonly uuid: string;
  readonly secret: string;
}

/**
 * Makes a credential: for VLESS and VMess the UUID itself, for Trojan and Hysteria 2 a password of 192 bits, for
 * Shadowsocks a key of 32 bytes in base64 (from which those of other lengths are made), for MTProto 32 hex digits.
 */
export function makeLinkCredential(protocol: ServedProtocol, random: Random): LinkCredential {
  const uuid = randomUuid(random);
  switch (protocol) {
    case "vless":
    case "vmess":
      return { uuid, secret: uuid };
    case "trojan":
    case "hysteria2":
      return { uuid, secret: random(24).toString("base64url") };
    case "shadowsocks":
      return { uuid, secret: random(32).toString("base64") };
    case "mtproto":
      return { uuid, secret: random(16).toString("hex") };
  }
}
