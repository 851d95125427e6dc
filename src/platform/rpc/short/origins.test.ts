import { expect, test } from "vitest";
import { createOrigins } from "./origins.ts";

test.each([
  ["http", "localhost:8080", "http://localhost:8080"],
  ["http", "localhost:80", "http://localhost"],
  ["https", "[::1]:443", "https://[::1]"],
  ["https", "EXAMPLE.org", "https://example.org"],
  ["http", "", undefined],
  ["http", undefined, undefined],
  ["http", "a b", undefined],
  ["http", "someone@localhost", undefined],
  ["http", "localhost/path", undefined],
  ["http", "localhost:99999", undefined],
  ["ftp", "localhost", undefined],
  [undefined, "localhost", undefined],
])("the origin of %s and %s is %s", (scheme, authority, origin) => {
  const origins = createOrigins();
  expect(origins(scheme, authority)).toBe(origin);
  expect(origins(scheme, authority)).toBe(origin);
});

test("more authorities than are remembered are told as well", () => {
  const origins = createOrigins();
  for (let port = 1; port < 1_000; port += 1)
    expect(origins("http", `a:${port}`)).toBe(`http://a${port === 80 ? "" : `:${port}`}`);
});
