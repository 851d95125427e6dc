import { expect, test } from "vitest";
import { createLeftoverAllowance } from "./leftovers.ts";
import { defaultLimits } from "./limits.ts";

test("what may be read is used up, and comes back with time, up to the full amount", () => {
  let nowMs = 5_000;
  const limits = { ...defaultLimits, leftoverBytes: 100, leftoverBytesPerSecond: 10 };
  const mayRead = createLeftoverAllowance(limits, () => nowMs);
  expect([mayRead(60), mayRead(60), mayRead(40), mayRead(1)]).toEqual([true, false, true, false]);
  nowMs += 500;
  expect([mayRead(6), mayRead(5), mayRead(1)]).toEqual([false, true, false]);
  nowMs += 3_600_000;
  expect([mayRead(101), mayRead(100), mayRead(1)]).toEqual([false, true, false]);
});
