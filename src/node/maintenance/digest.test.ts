import { expect, test } from "vitest";
import { readDigest } from "./digest.ts";

const sha256 = "0123456789abcdef".repeat(4);
const others = `MD5= ${"a".repeat(32)}\nSHA1= ${"b".repeat(40)}\n`;
const longer = `SHA2-512= ${"c".repeat(128)}\n`;

test.each([
  ["openssl 3", `${others}SHA2-256= ${sha256}\n${longer}`],
  ["openssl 3 with file names", `SHA2-256(Xray-linux-64.zip)= ${sha256}\n`],
  ["openssl 1", `${others}SHA256= ${sha256}\r\n${longer}`],
  ["sha256sum", `${sha256}  geoip.dat\n`],
  ["sha256sum in binary mode", `${sha256} *geoip.dat`],
  ["a digest alone, in upper case", sha256.toUpperCase()],
])("reads what %s writes", (_, text) => {
  expect(readDigest(text)).toBe(sha256);
});

test.each([
  ["nothing", ""],
  ["a page", `<html>${sha256}</html>`],
  ["another digest", longer],
  ["a longer digest alone", "c".repeat(128)],
  ["another kind of that length", `SHA3-256= ${sha256}`],
  ["a shorter one", `SHA2-256= ${sha256.slice(1)}`],
])("finds no SHA-256 in %s", (_, text) => {
  expect(readDigest(text)).toBeUndefined();
});
