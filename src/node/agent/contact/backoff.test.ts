import { expect, test } from "vitest";
import { createBackoff, jittered } from "./backoff.ts";
import { CoreAway } from "./core-client.ts";

const failure = new Error("failed");

test("each wait may be twice as long as the one before, from half a second to a minute", () => {
  const backoff = createBackoff({ random: () => 1 });
  const waits = Array.from({ length: 9 }, () => backoff.after(failure));
  expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  backoff.reset();
  expect(backoff.after(failure)).toBe(500);
});

test("the first wait is as long as is asked for at that time, and the others grow from it", () => {
  let firstMs = 10_000;
  const backoff = createBackoff({ firstMs: () => firstMs, random: () => 1 });
  expect([backoff.after(failure), backoff.after(failure)]).toEqual([10_000, 20_000]);
  backoff.reset();
  firstMs = 2_000;
  expect(backoff.after(failure)).toBe(2_000);
});

test("all but a tenth of a wait is random", () => {
  const backoff = createBackoff({ random: () => 0 });
  expect([backoff.after(failure), backoff.after(failure)]).toEqual([50, 100]);
});

test("Core is left alone for as long as it asks", () => {
  expect(createBackoff({ random: () => 0.5 }).after(new CoreAway("busy", 7_000, undefined))).toBe(7_275);
});

test.each([
  [0, 900],
  [0.5, 1_000],
  [1, 1_100],
])("a period has up to 10 percent more or less", (random, expected) => {
  expect(jittered(1_000, () => random)).toBeCloseTo(expected);
});
