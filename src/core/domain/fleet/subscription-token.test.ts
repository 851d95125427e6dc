import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { hashSubscriptionToken, makeSubscriptionToken } from "./subscription-token.ts";

test("tokens have at least 128 bits, and are kept as a hash", () => {
  const tokens = Array.from({ length: 100 }, () => makeSubscriptionToken(randomBytes));
  expect(new Set(tokens).size).toBe(100);
  for (const token of tokens) expect(Buffer.from(token, "base64url").length * 8).toBeGreaterThanOrEqual(128);
  expect(hashSubscriptionToken("a")).toHaveLength(32);
});
