import { expect, test } from "vitest";
import { refusalOf } from "./subscription-state.ts";

const now = 1_000_000;

test.each([
  [null, null, 5n, ""],
  [now, null, 0n, "expired"],
  [now + 1, null, 0n, ""],
  [null, 5n, 4n, ""],
  [null, 5n, 5n, "quota"],
  [now, 5n, 5n, "expired"],
])(
  "a subscription until %s with a quota of %s that has used %s is refused for %j",
  (expiresAt, quotaBytes, periodBytes, refusal) => {
    expect(refusalOf({ expiresAt, quotaBytes, periodBytes }, now)).toBe(refusal);
  },
);
