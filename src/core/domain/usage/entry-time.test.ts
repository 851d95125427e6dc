import { describe, expect, test } from "vitest";
import { bookedMinute, clockError, createTimeReader } from "./entry-time.ts";

const now = Date.UTC(2026, 4, 10, 12, 34, 30);
const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

describe("a time is read", () => {
  test.each<[string, number]>([
    ["2026-05-10T12:34:00Z", Date.UTC(2026, 4, 10, 12, 34)],
    ["2026-05-10t12:34:00.25z", Date.UTC(2026, 4, 10, 12, 34, 0, 250)],
    ["2026-05-10 14:34:00.123456789+02:00", Date.UTC(2026, 4, 10, 12, 34, 0, 123)],
    ["2026-05-10T07:04:00-05:30", Date.UTC(2026, 4, 10, 12, 34)],
    ["2024-02-29T23:59:60Z", Date.UTC(2024, 1, 29, 23, 59, 59)],
    ["0001-01-01T00:00:00Z", -62135596800000],
  ])("%s", (text, expected) => {
    expect(createTimeReader()(text)).toBe(expected);
  });

  test.each([
    "",
    "now",
    "2026-05-10",
    "2026-05-10T12:34:00",
    "2026-05-10T12:34Z",
    "2026-5-10T12:34:00Z",
    "2026-13-01T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "2026-05-10T24:00:00Z",
    "2026-05-10T12:34:00+99:00",
    "1747000000000",
    `2026-05-10T12:34:00.${"0".repeat(100)}Z`,
  ])("not %j", (text) => {
    expect(createTimeReader()(text)).toBeUndefined();
  });

  test("also after another one, good or bad", () => {
    const read = createTimeReader();
    const texts = ["2026-05-10T12:34:00Z", "bad", "2026-05-10T12:34:00Z", "2026-05-10T12:35:00Z", "bad"];
    expect(texts.map(read)).toEqual(texts.map((text) => createTimeReader()(text)));
  });
});

test.each<[what: string, recordedAt: number, minute: number, late: boolean]>([
  ["its own minute", now, now - 30_000, false],
  ["the start of its minute", now - 30_001, now - 90_000, false],
  ["7 days ago", now - 7 * day, now - 30_000 - 7 * day, false],
  ["longer ago", now - 7 * day - 1, now - 30_000, true],
  ["2 minutes ahead", now + 2 * minute, now - 30_000 + 2 * minute, false],
  ["further ahead", now + 2 * minute + 1, now - 30_000, true],
  ["before 1970", -1, now - 30_000, true],
])("traffic of %s", (_what, recordedAt, expected, late) => {
  expect(bookedMinute(recordedAt, now)).toEqual({ minute: expected, late });
});

describe("a clock is wrong", () => {
  const sealed = now - 10 * minute;
  test.each<[what: string, times: number[], error: number]>([
    ["by nothing when the newest entry is as old as the batch", [sealed - hour, sealed], 0],
    ["by nothing when entries have waited for days", [sealed - 6 * day, sealed - 5 * day], 0],
    ["by nothing when it is ahead by no more than is let pass", [sealed + 2 * minute], 0],
    ["when it is ahead of the sealing", [sealed + 3 * hour, sealed + 2 * hour], 3 * hour],
    ["by years when it began at 1970", [0, 5 * minute, 3 * minute], 5 * minute - sealed],
    ["by nothing when one entry of many is", [sealed, sealed - minute, 9e12], 0],
    ["by what most entries say, whatever one of them does", [sealed + hour, sealed + hour - minute, 9e12], hour],
  ])("%s", (_what, times, error) => {
    expect(clockError(times, 10 * minute, now)).toBe(error);
  });

  test("only when the batch tells its age, and has entries", () => {
    expect(clockError([sealed + 3 * hour], undefined, now)).toBe(0);
    expect(clockError([], 5, now)).toBe(0);
  });
});
