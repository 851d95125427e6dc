/** Why no node lets a subscription in, as it is kept: empty when they do. */
export type Refusal = "" | "expired" | "quota";

/** What decides about a subscription. Times are milliseconds since 1970. */
export interface SubscriptionTerms {
  readonly expiresAt: number | null;
  readonly quotaBytes: bigint | null;
  readonly periodBytes: bigint;
}

/** Why a subscription is refused at `now`. Its end comes before its quota, since nothing but the operator moves it. */
export function refusalOf({ expiresAt, quotaBytes, periodBytes }: SubscriptionTerms, now: number): Refusal {
  if (expiresAt !== null && expiresAt <= now) return "expired";
  return quotaBytes !== null && periodBytes >= quotaBytes ? "quota" : "";
}
