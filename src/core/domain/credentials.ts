import { createHash } from "node:crypto";

/**
 * The password of a Shadowsocks user: the link's secret, or with a method of Shadowsocks 2022 a key of the right length
 * in base64, which is the secret itself where it is one, and else made from it by SHA-256. Links say the same.
 */
export function shadowsocksPassword(method: string, secret: string): string {
  const keyBytes = shadowsocks2022KeyBytes(method);
  if (keyBytes === undefined) return secret;
  const key = Buffer.from(secret, "base64");
  if (key.length === keyBytes && key.toString("base64") === secret) return secret;
  return createHash("sha256").update(secret).digest().subarray(0, keyBytes).toString("base64");
}

/** The length of a user's key; undefined for methods that are not of Shadowsocks 2022 or know no users. */
function shadowsocks2022KeyBytes(method: string): number | undefined {
  if (method === "2022-blake3-aes-128-gcm") return 16;
  return method === "2022-blake3-aes-256-gcm" ? 32 : undefined;
}
