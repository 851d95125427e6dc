import { leaseBytes } from "../render/terms.ts";

/** What decides about a lease. Bytes in both directions. */
export interface LeaseTerms {
  readonly quotaBytes: bigint;
  /** Used since the period began, this report included. */
  readonly usedBytes: bigint;
  /** Nodes that may carry traffic for the subscription. */
  readonly nodes: number;
}

/**
 * How much a node may still carry for a subscription, where that is less than its config says; undefined where it is
 * not. What is left is shared by the nodes, as if there were 8 when there are more, since a user is seldom at more at a
 * time. A share is not less than 1 MiB, so that users are not cut off while nodes ask again, and never more than what is
 * left: 0 when the quota is used up. Nodes that hear nothing of each other so overrun a quota by what they were granted
 * at most: 7 leases where 8 are in use, and the last megabytes of further ones.
 */
export function leaseOf({ quotaBytes, usedBytes, nodes }: LeaseTerms): bigint | undefined {
  const left = quotaBytes > usedBytes ? quotaBytes - usedBytes : 0n;
  const shared = left / BigInt(Math.max(1, Math.min(nodes, mostSharing)));
  const share = shared > leastShare ? shared : leastShare;
  const lease = share < left ? share : left;
  return lease < leaseBytes(Number(quotaBytes)) ? lease : undefined;
}

const mostSharing = 8;
const leastShare = 2n ** 20n;
