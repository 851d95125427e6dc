import { describe, expect, test } from "vitest";
import { backoffMs } from "./timing.ts";

describe("waiting before another try", () => {
  test.each([
    { attempt: 0, random: 0, ms: 5 },
    { attempt: 0, random: 0.5, ms: 7.5 },
    { attempt: 1, random: 0, ms: 10 },
    { attempt: 3, random: 0, ms: 40 },
    { attempt: 4, random: 0, ms: 50 },
    { attempt: 2_000, random: 0, ms: 50 },
  ])("takes $ms ms after failure $attempt", ({ attempt, random, ms }) => {
    expect(backoffMs(attempt, random, 10, 100)).toBe(ms);
  });
});
