import { expect, test } from "vitest";
import { nextReset } from "./reset-period.ts";

const at = (time: string) => Date.parse(time);

test.each([
  ["day", "2026-02-28T23:59:59.999Z", "2026-03-01T00:00:00Z"],
  ["day", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"],
  ["week", "2026-11-21T12:00:00Z", "2026-11-23T00:00:00Z"], // a Saturday
  ["week", "2026-11-22T23:00:00Z", "2026-11-23T00:00:00Z"], // a Sunday
  ["week", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"], // a Monday
  ["month", "2026-01-31T10:00:00Z", "2026-02-01T00:00:00Z"],
  ["month", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"],
  ["year", "2028-02-29T00:00:00Z", "2029-01-01T00:00:00Z"],
] as const)("a %s that %s lies in ends at %s", (period, now, end) => {
  expect(nextReset(period, at(now))).toBe(at(end));
});

test("a period without end has none", () => expect(nextReset("never", 0)).toBeNull());
