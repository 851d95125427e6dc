import type { JudgedRow } from "./plausible-usage.ts";
import type { Aside, Claim, NotableSubscription } from "./usage-store.ts";

/** What rows add to the counters of each subscription, by ascending id. */
export function claimsOf(rows: readonly JudgedRow[]): Claim[] {
  const claims = new Map<number, { accountId: number; bytesUp: bigint; bytesDown: bigint }>();
  for (const { subscriptionId, accountId, bytesUp, bytesDown } of rows) {
    if (subscriptionId === 0) continue;
    const claim = claims.get(subscriptionId);
    if (claim === undefined) {
      claims.set(subscriptionId, { accountId, bytesUp, bytesDown });
      continue;
    }
    // One of two accounts is wrong: then the owner has to be found out.
    if (claim.accountId !== accountId) claim.accountId = 0;
    claim.bytesUp += bytesUp;
    claim.bytesDown += bytesDown;
  }
  return Array.from(claims, ([subscriptionId, claim]) => ({ subscriptionId, ...claim })).sort(
    (a, b) => a.subscriptionId - b.subscriptionId,
  );
}

/** The accounts of rows without a subscription, ascending. */
export function accountsAlone(rows: readonly JudgedRow[]): number[] {
  const ids = new Set<number>();
  for (const { accountId, subscriptionId } of rows) {
    if (accountId !== 0 && subscriptionId === 0) ids.add(accountId);
  }
  return [...ids].sort((a, b) => a - b);
}

/** Parts the rows of users and subscriptions that there are from the others. */
export function knownRows(
  rows: readonly JudgedRow[],
  claims: readonly Claim[],
  found: readonly NotableSubscription[],
  unknownAccounts: ReadonlySet<number>,
): { rows: readonly JudgedRow[]; claims: readonly Claim[]; aside: readonly Aside[] } {
  const owners = new Map(found.map(({ id, accountId }) => [id, accountId]));
  const isForeign = ({ subscriptionId, accountId }: Claim) =>
    owners.has(subscriptionId) && owners.get(subscriptionId) !== accountId;
  if (unknownAccounts.size === 0 && !claims.some(isForeign)) return { rows, claims, aside: [] };
  const aside: Aside[] = [];
  const known = rows.filter(({ entry, accountId, subscriptionId }) => {
    const reason =
      subscriptionId === 0
        ? unknownAccounts.has(accountId) && "user unknown"
        : owners.has(subscriptionId) &&
          owners.get(subscriptionId) !== accountId &&
          (owners.get(subscriptionId) === null ? "subscription unknown" : "subscription of another user");
    if (reason) aside.push({ reason, entry });
    return !reason;
  });
  return { rows: known, claims: claimsOf(known), aside };
}

/** The rows in the order of their key, those with the same key as one. */
export function mergedRows(rows: readonly JudgedRow[]): JudgedRow[] {
  const merged: JudgedRow[] = [];
  for (const row of rows.toSorted(compareKeys)) {
    const last = merged.at(-1);
    if (last === undefined || compareKeys(last, row) !== 0) {
      merged.push(row);
      continue;
    }
    merged[merged.length - 1] = {
      ...last,
      bytesUp: last.bytesUp + row.bytesUp,
      bytesDown: last.bytesDown + row.bytesDown,
      late: last.late || row.late,
      coarse: last.coarse || row.coarse,
    };
  }
  return merged;
}

function compareKeys(a: JudgedRow, b: JudgedRow): number {
  return (
    a.minute - b.minute ||
    a.nodeProtocolId - b.nodeProtocolId ||
    a.accountId - b.accountId ||
    a.subscriptionId - b.subscriptionId ||
    (a.linkUuid < b.linkUuid ? -1 : a.linkUuid > b.linkUuid ? 1 : 0)
  );
}
