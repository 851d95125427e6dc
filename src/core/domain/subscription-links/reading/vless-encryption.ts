import { createPrivateKey, createPublicKey } from "node:crypto";
import { x25519PublicKey } from "../../fleet/protocols/reality-key.ts";

/**
 * What clients of a VLESS inbound need as `encryption`, made from its `decryption`: its private keys, of X25519 or
 * ML-KEM-768, become public ones. Undefined when it is none that is known.
 */
export function vlessEncryption(decryption: string): string | undefined {
  if (decryption === "none" || decryption === "") return "none";
  const [method = "", mode = "", ticket = "", ...rest] = decryption.split(".");
  if (method !== "mlkem768x25519plus" || !modes.includes(mode)) return undefined;
  // Shorter ones are lengths of padding, which each side chooses by itself.
  const keys = rest.filter((part) => part.length >= 20).map(publicKeyOf);
  if (keys.length === 0 || keys.includes(undefined)) return undefined;
  const roundTrips = /^0+s?$/.test(ticket) ? "1rtt" : "0rtt";
  return [method, mode, roundTrips, ...keys].join(".");
}

const modes = ["native", "xorpub", "random"];

function publicKeyOf(text: string): string | undefined {
  const key = Buffer.from(text, "base64url");
  if (key.length === 32) return x25519PublicKey(key);
  if (key.length !== 64) return undefined;
  const der = Buffer.concat([mlkem768Prefix, key]);
  const spki = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" })).export({
    format: "der",
    type: "spki",
  });
  return spki.subarray(-mlkem768PublicBytes).toString("base64url");
}

// A PKCS #8 structure up to the 64 bytes of the seed.
const mlkem768Prefix = Buffer.from("3054020100300b060960864801650304040204428040", "hex");
const mlkem768PublicBytes = 1_184;
