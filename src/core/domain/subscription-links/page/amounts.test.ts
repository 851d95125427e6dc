import { expect, test } from "vitest";
import { amountOf, distanceOf } from "./amounts.ts";

test.each([
  [0n, "0 bytes"],
  [1023n, "1023 bytes"],
  [1024n, "1.00 KiB"],
  [1536n, "1.50 KiB"],
  [15n * 1024n ** 2n, "15.0 MiB"],
  [999n * 1024n ** 3n, "999 GiB"],
  [5n * 1024n ** 4n, "5.00 TiB"],
  [2n ** 63n - 1n, "8192 PiB"],
])("%s bytes are %s", (bytes, text) => {
  expect(amountOf(bytes)).toBe(text);
});

const hour = 3_600_000;
test.each([
  [-hour, "less than an hour"],
  [0.5 * hour, "less than an hour"],
  [1.9 * hour, "1 hour"],
  [47.9 * hour, "47 hours"],
  [48 * hour, "2 days"],
  [24 * 365 * hour, "365 days"],
])("in %s ms is in %s", (ms, text) => {
  expect(distanceOf(1e12 + ms, 1e12)).toBe(text);
});
