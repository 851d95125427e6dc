import { x25519PublicKey } from "../fleet/protocols/reality-key.ts";
import type { Random } from "../fleet/random.ts";

/** Whether it is a key as WireGuard writes it: 32 bytes in base64. */
export function isWireGuardKey(value: unknown): value is string {
  if (typeof value !== "string") return false;
  const bytes = Buffer.from(value, "base64");
  // The decoder forgives too much.
  return bytes.length === keyBytes && bytes.toString("base64") === value;
}

/** A private key, in the form that `wg genkey` gives it. */
export function makePrivateKey(random: Random): string {
  const key = random(keyBytes);
  // As every user of the key would read it anyway (RFC 7748, section 5).
  key[0] = (key[0] ?? 0) & 248;
  key[31] = ((key[31] ?? 0) & 127) | 64;
  return key.toString("base64");
}

/** A key that both sides share. */
export function makeSharedKey(random: Random): string {
  return random(keyBytes).toString("base64");
}

/** The public key that belongs to a private one. */
export function publicKeyOf(privateKey: string): string {
  return Buffer.from(x25519PublicKey(Buffer.from(privateKey, "base64")), "base64url").toString("base64");
}

const keyBytes = 32;
