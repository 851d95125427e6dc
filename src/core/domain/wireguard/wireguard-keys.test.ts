import { generateKeyPairSync, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { isWireGuardKey, makePrivateKey, makeSharedKey, publicKeyOf } from "./wireguard-keys.ts";

test("a public key belongs to its private one", () => {
  const { d = "", x = "" } = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  const [own = "", shown = ""] = [d, x].map((key) => Buffer.from(key, "base64url").toString("base64"));
  expect(publicKeyOf(own)).toBe(shown);
});

test("private keys are in the form that `wg genkey` gives them, and no two are the same", () => {
  const keys = Array.from({ length: 100 }, () => makePrivateKey(randomBytes));
  for (const key of keys) {
    expect(isWireGuardKey(key)).toBe(true);
    const bytes = Buffer.from(key, "base64");
    expect([(bytes[0] ?? 0) & 7, (bytes[31] ?? 0) & 192]).toEqual([0, 64]);
  }
  expect(new Set(keys).size).toBe(keys.length);
  expect(isWireGuardKey(makeSharedKey(randomBytes))).toBe(true);
});

test.each([
  ["", false],
  [undefined, false],
  [Buffer.alloc(31).toString("base64"), false],
  [Buffer.alloc(33).toString("base64"), false],
  [Buffer.alloc(32, 0xff).toString("base64url"), false],
  [`${Buffer.alloc(32).toString("base64")}\n`, false],
  [` ${Buffer.alloc(32).toString("base64")}`, false],
  ["A".repeat(43), false],
  [Buffer.alloc(32).toString("base64"), true],
])("whether %j is a key: %s", (text, isKey) => expect(isWireGuardKey(text)).toBe(isKey));
