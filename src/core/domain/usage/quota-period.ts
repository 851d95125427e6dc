import { nextReset, type ResetPeriod } from "../fleet/reset-period.ts";

/** A period in which a quota counts. Times are milliseconds since 1970. */
export interface QuotaPeriod {
  readonly startedAt: number;
  /** Null: it does not end. */
  readonly endsAt: number | null;
}

/** The period that `now` lies in, for a subscription whose period has ended at `endedAt`. */
export function periodAfter(reset: ResetPeriod, endedAt: number, now: number): QuotaPeriod {
  let startedAt = endedAt;
  let endsAt = nextReset(reset, startedAt);
  while (endsAt !== null && endsAt <= now) {
    startedAt = endsAt;
    endsAt = nextReset(reset, startedAt);
  }
  return { startedAt, endsAt };
}
