/** How long a quota holds: the spellings of `ResetPeriod`. */
export type ResetPeriod = "never" | "day" | "week" | "month" | "year";

/** How far apart the clocks of replicas may be, one of which begins a period before it is time for the other. */
const apartMs = 3_600_000;

/** A period that runs at `now` cannot end later than this: one that does was begun by a clock that was ahead. */
export function latestReset(period: ResetPeriod, now: number): number | null {
  return nextReset(period, now + apartMs);
}

/**
 * When the period that `at` lies in ends: the next midnight, the one before the next Monday, first of a month or first of
 * January, in UTC. Null: it never does. Times are milliseconds since 1970.
 */
export function nextReset(period: ResetPeriod, at: number): number | null {
  const date = new Date(at);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  switch (period) {
    case "never":
      return null;
    case "day":
      return Date.UTC(year, month, day + 1);
    case "week":
      return Date.UTC(year, month, day + ((8 - date.getUTCDay()) % 7 || 7));
    case "month":
      return Date.UTC(year, month + 1, 1);
    case "year":
      return Date.UTC(year + 1, 0, 1);
  }
}
