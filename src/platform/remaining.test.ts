import { expect, test } from "vitest";
import { remainingMs } from "./remaining.ts";

test.each([
  ["what is left", 1_100, 1_000, 100],
  ["all of it when it has just been set", 1_500, 1_000, 500],
  ["nothing at its end", 1_000, 1_000, 0],
  ["nothing after it", 900, 1_000, 0],
  ["nothing of what a clock that was ahead has set", 1_501, 1_000, 0],
])("there remains %s", (_what, until, now, left) => {
  expect(remainingMs(until, now, 500)).toBe(left);
});
