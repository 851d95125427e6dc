import { expect, test } from "vitest";
import { createRestartPace } from "./restart-pace.ts";

test("an engine that ran is back at once", () => {
  let now = 0;
  const pace = createRestartPace(() => now);
  for (let day = 0; day < 10; day++) {
    expect(pace.afterExit()).toBe(0);
    now += 86_400_000;
  }
});

test("one that does not come up waits twice as long each time, up to a minute", () => {
  const pace = createRestartPace(() => 0);
  expect(Array.from({ length: 8 }, () => pace.afterFailure() / 1_000)).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
});

test("one that goes away again and again waits, too, until it has held for a minute", () => {
  let now = 0;
  const pace = createRestartPace(() => (now += 1_000));
  expect(Array.from({ length: 8 }, () => pace.afterExit() / 1_000)).toEqual([0, 0, 0, 0, 0, 1, 2, 4]);
  now += 60_000;
  expect(pace.afterExit()).toBe(0);
  expect(pace.afterFailure()).toBe(1_000);
});
