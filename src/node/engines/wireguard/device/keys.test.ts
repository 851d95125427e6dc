import { expect, test } from "vitest";
import { canonicalKey, hexOfKey, keyOfHex, publicKeyOf } from "./keys.ts";

const key = Buffer.alloc(32, 0x41).toString("base64");

test.each([
  [key, key],
  [` ${key}\n`, key],
  ["", undefined],
  [key.slice(1), undefined],
  [key.replace("=", ""), undefined],
  [Buffer.alloc(31).toString("base64"), undefined],
  [key.replace("Q", "*"), undefined],
])("%j is the key %s", (text, canonical) => expect(canonicalKey(text)).toBe(canonical));

test("a key in the userspace's words, and back", () => {
  expect(hexOfKey(key)).toBe("41".repeat(32));
  expect(keyOfHex(hexOfKey(key))).toBe(key);
});

test("the public key of a private one is what wg pubkey says", () => {
  expect(publicKeyOf(key)).toBe("ehpOcJvwhaxJSroEabmx7aCrH3ixaqu3n/7akGI+hSI=");
});
