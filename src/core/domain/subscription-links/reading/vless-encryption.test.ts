import { generateKeyPairSync, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { vlessEncryption } from "./vless-encryption.ts";

const x25519 = generateKeyPairSync("x25519");
const privateKey = x25519.privateKey.export({ format: "jwk" }).d ?? "";
const publicKey = x25519.publicKey.export({ format: "jwk" }).x ?? "";

test.each([
  ["none", "none"],
  ["", "none"],
  [`mlkem768x25519plus.native.600s.${privateKey}`, `mlkem768x25519plus.native.0rtt.${publicKey}`],
  [`mlkem768x25519plus.xorpub.0s.${privateKey}`, `mlkem768x25519plus.xorpub.1rtt.${publicKey}`],
  [
    `mlkem768x25519plus.random.60-600s.100-111-1111.75-0-111.${privateKey}`,
    `mlkem768x25519plus.random.0rtt.${publicKey}`,
  ],
  [
    `mlkem768x25519plus.native.600s.${privateKey}.${privateKey}`,
    `mlkem768x25519plus.native.0rtt.${publicKey}.${publicKey}`,
  ],
  [`mlkem768x25519plus.native.600s.${randomBytes(31).toString("base64url")}`, undefined],
  ["mlkem768x25519plus.native.600s.100-111-1111", undefined],
  [`mlkem768x25519plus.odd.600s.${privateKey}`, undefined],
  [`another.native.600s.${privateKey}`, undefined],
])("%s becomes %s", (decryption, encryption) => {
  expect(vlessEncryption(decryption)).toBe(encryption);
});

test("a seed of ML-KEM-768 becomes its public key", () => {
  const pair = generateKeyPairSync("ml-kem-768");
  const { priv = "" } = pair.privateKey.export({ format: "jwk" }) as { priv?: string };
  const key = pair.publicKey.export({ format: "der", type: "spki" }).subarray(-1_184).toString("base64url");
  expect(vlessEncryption(`mlkem768x25519plus.native.600s.${priv}`)).toBe(`mlkem768x25519plus.native.0rtt.${key}`);
});
