import { expect, test } from "vitest";
import {
  MalformedEnrolmentCode,
  makeEnrolmentSecret,
  PlainTextRefused,
  readEnrolmentCode,
  refusePlainText,
  secretOf,
  writeEnrolmentCode,
} from "./enrolment-code.ts";

const caSha256 = "ab".repeat(31).concat("0f");
const secret = "AAECAwQFBgcICQoLDA0ODw";

test.each([
  [["https://core.example.org"], caSha256],
  [["https://core.example.org", "https://192.0.2.7:8080", "https://[2001:db8::7]:8080"], caSha256],
  [["https://core.example.org"], undefined],
  [["http://127.0.0.1:8080"], undefined],
])("what is written for %j is read", (urls, ca) => {
  const code = { secret: makeEnrolmentSecret(), urls, caSha256: ca };
  const text = writeEnrolmentCode(code);
  expect(text).toMatch(/^gc1_[\w-]+$/);
  expect(readEnrolmentCode(text)).toEqual(code);
  expect(readEnrolmentCode(`  ${text.slice(0, 40)}\n  ${text.slice(40)}\n`)).toEqual(code);
});

test("the format is the one that is documented", () => {
  expect(writeEnrolmentCode({ secret, urls: ["https://a.example"], caSha256: undefined })).toBe(
    "gc1_AAECAwQFBgcICQoLDA0ODwBodHRwczovL2EuZXhhbXBsZfimSTI",
  );
});

test("secrets have 128 bits and no two are the same", () => {
  const many = Array.from({ length: 100 }, makeEnrolmentSecret);
  expect(new Set(many).size).toBe(100);
  for (const each of many) expect(Buffer.from(each, "base64url")).toHaveLength(16);
});

test("one that was cut, mistyped or is something else is told, and not quoted", () => {
  const text = writeEnrolmentCode({ secret, urls: ["https://core.example.org"], caSha256 });
  const mistyped = text.replace(/[\w-](?=.{20}$)/, (letter) => (letter === "x" ? "y" : "x"));
  for (const wrong of [text.slice(0, -1), text.slice(0, 30), mistyped, `${text}A`, "gc1_", "gc1_!!", "gc2_AAAA", ""]) {
    expect(() => readEnrolmentCode(wrong)).toThrow(MalformedEnrolmentCode);
    expect(() => readEnrolmentCode(wrong)).toThrow(/^(?!.*AAECAwQ)/s);
  }
});

test.each(["ftp://core.example.org", "https://core.example.org/path", "https://user:pw@core.example.org", "core", ""])(
  "one with %j for a URL is refused",
  (url) => {
    expect(() => readEnrolmentCode(writeEnrolmentCode({ secret, urls: [url], caSha256 }))).toThrow(
      MalformedEnrolmentCode,
    );
  },
);

test("Core finds the secret in the whole string and in the secret alone", () => {
  const text = writeEnrolmentCode({ secret, urls: ["https://core.example.org"], caSha256 });
  expect(secretOf(text)).toBe(secret);
  expect(secretOf(secret)).toBe(secret);
  expect(secretOf("ABCD-1234")).toBeUndefined();
  expect(secretOf(text.slice(0, -2))).toBeUndefined();
});

test.each([
  ["http://core.example.org", true],
  ["http://192.0.2.7:8080", true],
  ["http://127.0.0.1.example.org", true],
  ["http://127.0.0.1:8080", false],
  ["http://[::1]:8080", false],
  ["http://localhost:8080", false],
  ["https://core.example.org", false],
])("%s is refused for its plain text: %s", (url, refused) => {
  const check = (insecure: boolean) => () => refusePlainText(["https://core.example.org", url], insecure);
  if (refused) expect(check(false)).toThrow(PlainTextRefused);
  else expect(check(false)).not.toThrow();
  expect(check(true)).not.toThrow();
});
