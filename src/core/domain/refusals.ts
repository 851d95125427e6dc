import { latestReset, nextReset, type ResetPeriod } from "./fleet/reset-period.ts";
import { refusalOf } from "./fleet/subscription-state.ts";
import { periodAfter, type QuotaPeriod } from "./usage/quota-period.ts";

/** What time can change about a subscription. Times are in milliseconds since 1970. */
export interface TimedSubscription {
  readonly id: number;
  readonly expiresAt: number | null;
  readonly quotaBytes: bigint | null;
  readonly periodBytes: bigint;
  readonly resetPeriod: ResetPeriod;
  readonly nextResetAt: number | null;
  readonly refused: string;
}

/** What has changed about a subscription. */
export interface TimedChange {
  readonly id: number;
  readonly refused: string;
  /** Nodes do not know it yet. */
  readonly isNews: boolean;
  /** The period that has begun, with nothing used. */
  readonly begun: QuotaPeriod | undefined;
  /** When the period that runs is to end, after a clock that was ahead had begun it. Undefined: as it was. */
  readonly endsAt: number | undefined;
}

/** What a subscription should be at `now`, and is not. */
export function changeByTime(subscription: TimedSubscription, now: number): TimedChange | undefined {
  const { id, resetPeriod, nextResetAt } = subscription;
  const isOver = nextResetAt !== null && nextResetAt <= now;
  const begun = isOver ? periodAfter(resetPeriod, nextResetAt, now) : undefined;
  const isTooFar = nextResetAt !== null && nextResetAt > (latestReset(resetPeriod, now) ?? nextResetAt);
  const endsAt = isTooFar ? (nextReset(resetPeriod, now) ?? undefined) : undefined;
  const refused = refusalOf(isOver ? { ...subscription, periodBytes: 0n } : subscription, now);
  const isNews = refused !== subscription.refused;
  return isNews || begun !== undefined || endsAt !== undefined ? { id, refused, isNews, begun, endsAt } : undefined;
}
