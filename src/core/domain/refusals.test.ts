import { expect, test } from "vitest";
import { changeByTime, type TimedSubscription } from "./refusals.ts";

const day = 86_400_000;
const subscription = (more: Partial<TimedSubscription>): TimedSubscription => ({
  id: 1,
  expiresAt: null,
  quotaBytes: null,
  periodBytes: 0n,
  resetPeriod: "never",
  nextResetAt: null,
  refused: "",
  ...more,
});
const full = { quotaBytes: 10n, periodBytes: 10n };
const daily = { resetPeriod: "day" as const, nextResetAt: day };

test("a replica whose clock is a little ahead begins a period for all", () => {
  const begun = subscription({ resetPeriod: "day", nextResetAt: 3 * day });
  expect(changeByTime(begun, 2 * day - 60_000)).toBeUndefined();
});

test.each([
  ["nothing to change", {}, undefined],
  ["not expired yet", { expiresAt: 2 * day + 1 }, undefined],
  ["expired", { expiresAt: 2 * day }, { refused: "expired", isNews: true }],
  ["known to be expired", { expiresAt: 1, refused: "expired" }, undefined],
  ["renewed", { expiresAt: 3 * day, refused: "expired" }, { refused: "", isNews: true }],
  ["renewed, and over its quota", { ...full, refused: "expired" }, { refused: "quota", isNews: true }],
  ["over its quota", full, { refused: "quota", isNews: true }],
  ["one byte below", { quotaBytes: 11n, periodBytes: 10n }, undefined],
  ["with a larger quota", { quotaBytes: 11n, periodBytes: 10n, refused: "quota" }, { refused: "", isNews: true }],
  [
    "over its quota until now",
    { ...full, ...daily, refused: "quota" },
    { refused: "", isNews: true, begun: { startedAt: 2 * day, endsAt: 3 * day } },
  ],
  ["whose period ends tomorrow", { resetPeriod: "day" as const, nextResetAt: 3 * day }, undefined],
  [
    "whose period a clock that was ahead has begun",
    { ...full, resetPeriod: "day" as const, nextResetAt: 9 * day, refused: "quota" },
    { refused: "quota", isNews: false, endsAt: 3 * day },
  ],
  ["in a new period", { ...daily }, { refused: "", isNews: false, begun: { startedAt: 2 * day, endsAt: 3 * day } }],
  [
    "expired in a new period",
    { ...full, ...daily, expiresAt: day, refused: "quota" },
    { refused: "expired", isNews: true, begun: { startedAt: 2 * day, endsAt: 3 * day } },
  ],
])("a subscription %s", (_, more, change) => {
  const made = changeByTime(subscription(more), 2 * day);
  expect(made).toEqual(change && { id: 1, begun: undefined, endsAt: undefined, ...change });
});
