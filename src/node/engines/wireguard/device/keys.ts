import { createPrivateKey, createPublicKey } from "node:crypto";

/** A key of WireGuard: 32 bytes in base64, as configs and panels write it. Undefined for anything else. */
export function canonicalKey(text: string): string | undefined {
  const bytes = Buffer.from(text.trim(), "base64");
  // The decoder forgives too much.
  return bytes.length === 32 && bytes.toString("base64") === text.trim() ? text.trim() : undefined;
}

/** The public key that belongs to a private one. */
export function publicKeyOf(privateKey: string): string {
  const key = Buffer.concat([pkcs8Head, Buffer.from(privateKey, "base64")]);
  const spki = createPublicKey(createPrivateKey({ key, format: "der", type: "pkcs8" }));
  return spki.export({ format: "der", type: "spki" }).subarray(-32).toString("base64");
}

/** A key as the userspace's configuration protocol writes it. */
export function hexOfKey(base64: string): string {
  return Buffer.from(base64, "base64").toString("hex");
}

/** A key as everybody else writes it. */
export function keyOfHex(hex: string): string {
  return Buffer.from(hex, "hex").toString("base64");
}

/** What stands before the 32 bytes of a private key of X25519 (RFC 8410, section 7). */
const pkcs8Head = Buffer.from("302e020100300506032b656e04220420", "hex");
