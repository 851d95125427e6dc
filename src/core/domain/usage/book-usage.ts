import { create } from "@bufbuild/protobuf";
import {
  type ReportUsageRequest,
  type SubscriptionLease,
  SubscriptionLeaseSchema,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { refusalOf } from "../fleet/subscription-state.ts";
import { accountsAlone, claimsOf, knownRows, mergedRows } from "./claims.ts";
import { inboundTotals } from "./inbound-totals.ts";
import { judgeInbounds, judgeUsage } from "./plausible-usage.ts";
import { leaseOf } from "./quota-lease.ts";
import { periodAfter } from "./quota-period.ts";
import type { Booking, Claim, NotableSubscription } from "./usage-store.ts";

/** What came of booking a report of usage. */
export interface BookedUsage {
  readonly quarantined: number;
  readonly leases: readonly SubscriptionLease[];
  /** Subscriptions that nodes refuse from now on, or no longer. */
  readonly refusalsChanged: readonly number[];
}

/** Books traffic of users: their rows, the counters of their subscriptions, and what follows from these. */
export async function bookUsage(
  booking: Booking,
  nodeId: number,
  { entries, inbounds }: ReportUsageRequest,
  ageMs: number | undefined,
  now: number,
): Promise<BookedUsage> {
  const node = await booking.node(nodeId);
  const judged = judgeUsage(entries, node, ageMs, now);
  const claimed = claimsOf(judged.rows);
  const found = await booking.notable(claimed, now);
  const strangers = await booking.unknownAccounts(accountsAlone(judged.rows));
  const { rows, claims, aside } = knownRows(judged.rows, claimed, found, strangers);
  const totals = judgeInbounds(inbounds, node);

  const periods = await beginPeriods(booking, found, now);
  await booking.addToSubscriptions(claims);
  const { leases, refused } = followUp(claims, periods.subscriptions, node.nodesServing);
  await booking.refuse(refused, "quota");
  const booked = mergedRows(rows);
  await booking.addRows(nodeId, booked);
  await booking.addInbounds(nodeId, now - (now % dayMs), inboundTotals(totals.plausible, booked));
  const kept = [...judged.aside, ...aside, ...totals.aside];
  await booking.keepAside(nodeId, "usage", kept, now);
  const refusalsChanged = [...periods.refusalsChanged, ...refused];
  if (refusalsChanged.length > 0) await booking.noteNews(refusalsChanged, now);
  return { quarantined: kept.length, leases, refusalsChanged };
}

/** Begins the periods that are due, and tells how their subscriptions are then. */
async function beginPeriods(booking: Booking, found: readonly NotableSubscription[], now: number) {
  const begun = new Map(
    found.flatMap((subscription) => {
      const { id, accountId, nextResetAt, resetPeriod } = subscription;
      if (accountId === null || nextResetAt === null || nextResetAt > now) return [];
      const { startedAt, endsAt } = periodAfter(resetPeriod, nextResetAt, now);
      const refused = refusalOf({ ...subscription, periodBytes: 0n }, now);
      return [[id, { subscriptionId: id, startedAt, nextResetAt: endsAt, refused }]];
    }),
  );
  await booking.beginPeriods([...begun.values()]);
  return {
    subscriptions: found.map((subscription) => {
      const period = begun.get(subscription.id);
      return period === undefined ? subscription : { ...subscription, periodBytes: 0n, refused: period.refused };
    }),
    refusalsChanged: found.flatMap(({ id, refused }) => {
      const period = begun.get(id);
      return period === undefined || period.refused === refused ? [] : [id];
    }),
  };
}

/** What quotas have to say to the claims: leases, and the subscriptions that have used theirs up now. */
function followUp(claims: readonly Claim[], found: readonly NotableSubscription[], nodes: number) {
  const leases: SubscriptionLease[] = [];
  const refused: number[] = [];
  const claimed = new Map(claims.map((claim) => [claim.subscriptionId, claim.bytesUp + claim.bytesDown]));
  for (const { id, quotaBytes, periodBytes, refused: reason } of found) {
    const added = claimed.get(id);
    if (added === undefined || quotaBytes === null) continue;
    const usedBytes = periodBytes + added;
    const bytes = leaseOf({ quotaBytes, usedBytes, nodes });
    if (bytes !== undefined) leases.push(create(SubscriptionLeaseSchema, { subscriptionId: BigInt(id), bytes }));
    if (reason === "" && usedBytes >= quotaBytes) refused.push(id);
  }
  return { leases, refused };
}

const dayMs = 24 * 60 * 60 * 1000;
