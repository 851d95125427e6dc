/** A key of WireGuard: 32 bytes in base64, as configs and panels write it. Undefined for anything else. */
export function canonicalKey(text: string): string | undefined {
  const bytes = Buffer.from(text.trim(), "base64");
  // The decoder forgives too much.
  return bytes.length === 32 && bytes.toString("base64") === text.trim() ? text.trim() : undefined;
}

/** A key as the userspace's configuration protocol writes it. */
export function hexOfKey(base64: string): string {
  return Buffer.from(base64, "base64").toString("hex");
}

/** A key as everybody else writes it. */
export function keyOfHex(hex: string): string {
  return Buffer.from(hex, "hex").toString("base64");
}
