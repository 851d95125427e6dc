import { expect, test } from "vitest";
import { shadowsocksPassword } from "./credentials.ts";

const key = (bytes: number) => Buffer.alloc(bytes, 9).toString("base64");

test.each([
  ["aes-256-gcm", "any", "any"],
  ["2022-blake3-aes-128-gcm", key(16), key(16)],
  ["2022-blake3-aes-256-gcm", key(32), key(32)],
  ["2022-blake3-aes-128-gcm", "any", "1qfNKnNxsaFdVDGWl5/3Tw=="],
  ["2022-blake3-aes-256-gcm", "any", "1qfNKnNxsaFdVDGWl5/3T9sCcCPr8YfV0ym+EQVcd/0="],
])("with %s the secret %s is the password %s", (method, secret, password) => {
  expect(shadowsocksPassword(method, secret)).toBe(password);
});
