import { expect, test } from "vitest";
import { guessedUrls, namesWith } from "./public-urls.ts";

const machine = {
  hostNames: ["localhost", "core-1"],
  addresses: ["127.0.0.1", "::1", "192.0.2.7", "2001:db8::7", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"],
};

test.each([
  ["https://192.0.2.9:8080", ["https://192.0.2.9:8080"]],
  ["http://127.0.0.1:8080", ["http://127.0.0.1:8080"]],
  ["https://[::1]:8080", ["https://[::1]:8080"]],
  ["https://0.0.0.0:443", ["https://192.0.2.7", "https://10.0.0.1", "https://10.0.0.2", "https://10.0.0.3"]],
  [
    "https://[::]:8080",
    ["https://192.0.2.7:8080", "https://[2001:db8::7]:8080", "https://10.0.0.1:8080", "https://10.0.0.2:8080"],
  ],
])("who listens on %s is reached at %j", (listening, urls) => {
  expect(guessedUrls(listening, machine)).toEqual(urls);
});

test("a machine that others cannot reach is reached by itself", () => {
  expect(guessedUrls("https://0.0.0.0:8080", { hostNames: [], addresses: ["127.0.0.1", "::1"] })).toEqual([
    "https://127.0.0.1:8080",
  ]);
});

test("a certificate has the names of the machine, and those of its URLs", () => {
  const urls = ["https://core.example.org", "https://203.0.113.1:8080", "https://[2001:db8::1]", "https://192.0.2.7"];
  expect(namesWith({ hostNames: ["localhost"], addresses: ["127.0.0.1", "192.0.2.7"] }, urls)).toEqual({
    hostNames: ["core.example.org", "localhost"],
    addresses: ["203.0.113.1", "2001:db8::1", "192.0.2.7", "127.0.0.1"],
  });
});
