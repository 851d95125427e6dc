import { expect, test } from "vitest";
import { readHost } from "./host.ts";

test.each([
  ["a.example", "a.example"],
  ["a_b.Example.", "a_b.example."],
  ["bücher.example", "xn--bcher-kva.example"],
  ["192.0.2.1", "192.0.2.1"],
  ["2001:db8::1", "2001:db8::1"],
  ["[2001:db8::1]", "2001:db8::1"],
  ["fe80::1%eth0", ""],
  ["", ""],
  ["a b", ""],
  ["a\tb", ""],
  ["a.example／b", ""],
  ["a\u2028b", ""],
  ["\ud83d", ""],
  ["a.example:443", ""],
  ["x@a.example", ""],
  ["a.example/#", ""],
  ["a.example\nvless://x@b.example:443", ""],
  [`"a.example"`, ""],
  ["*.a.example", ""],
  [`${"a".repeat(63)}.`.repeat(4), ""],
])("%j is the host %j", (text, host) => {
  expect(readHost(text)).toBe(host);
});
