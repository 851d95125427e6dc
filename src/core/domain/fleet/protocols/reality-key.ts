import { createPrivateKey, createPublicKey } from "node:crypto";
import { type JsonObject, objectIn } from "../json-object.ts";

/** Whether it is a private key of REALITY: an X25519 key of 32 bytes in base64url. */
export function isRealityKey(value: unknown): value is string {
  return typeof value === "string" && /^[A-Za-z0-9_-]{43}$/.test(value);
}

/** The public key that clients of an inbound need; empty when the inbound does not use REALITY. */
export function realityPublicKey(settings: JsonObject): string {
  const key = objectIn(objectIn(settings.streamSettings)?.realitySettings)?.privateKey;
  if (!isRealityKey(key)) return "";
  return x25519PublicKey(Buffer.from(key, "base64url"));
}

/** The public key, in base64url, of an X25519 private key of 32 bytes. */
export function x25519PublicKey(privateKey: Uint8Array): string {
  const der = Buffer.concat([x25519Prefix, privateKey]);
  const { x = "" } = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" })).export({
    format: "jwk",
  });
  return x;
}

// A PKCS #8 structure up to the 32 bytes of the key (RFC 8410, section 7).
const x25519Prefix = Buffer.from("302e020100300506032b656e04220420", "hex");
