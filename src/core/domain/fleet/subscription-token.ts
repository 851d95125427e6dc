import { createHash } from "node:crypto";
import type { Random } from "./random.ts";

/** Makes the token of a subscription's link: 192 random bits in base64url. */
export function makeSubscriptionToken(random: Random): string {
  return random(24).toString("base64url");
}

/** What is stored of a token, and looked up: its SHA-256. */
export function hashSubscriptionToken(token: string): Uint8Array {
  return createHash("sha256").update(token).digest();
}
