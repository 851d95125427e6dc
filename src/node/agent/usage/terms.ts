import type { ReportUsageRequest, SubscriptionLease } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { SubscriptionTerms } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { Links } from "../config/links.ts";
import { ownerIn } from "../config/links.ts";

/** What the node enforces by itself: subscriptions end in time, and carry no more than Core has lent. */
export interface Terms {
  /** The terms of another config hold; leases that answers have named do not any more. */
  replace(terms: Readonly<Record<string, SubscriptionTerms>>, links: Links): void;
  /** Bytes were counted that Core does not know of yet. */
  carried(bySubscription: ReadonlyMap<number, bigint>): void;
  /** Core has booked a report, and lends so much from now on. */
  booked(report: Pick<ReportUsageRequest, "entries">, leases: readonly SubscriptionLease[]): void;
  /** Whether a link is refused, as was found out last. */
  isRefused(linkUuid: string): boolean;
  /** Finds out whom to refuse. True: it is somebody else than before. */
  review(): boolean;
  /** How many subscriptions are refused. */
  readonly refused: number;
  /** A subscription has used up what was lent since {@link review} was called before, and Core should hear of it now. */
  readonly isUrgent: boolean;
  /** Milliseconds since 1970 when the next subscription ends. Undefined: none does. */
  nextEnd(): number | undefined;
}

/** Options of {@link createTerms}. */
export interface TermsOptions {
  /** Core's time, in milliseconds since 1970. */
  readonly now: () => number;
  /** Core cannot be reached. */
  readonly isCoreAway: () => boolean;
  /** Bytes that were counted by an earlier process, and that Core does not know of yet, by subscription. */
  readonly carriedBefore: ReadonlyMap<number, bigint>;
}

/** Makes them; nobody is refused yet. */
export function createTerms({ now, isCoreAway, carriedBefore }: TermsOptions): Terms {
  let terms = new Map<number, SubscriptionTerms>();
  let links: Pick<Links, "owners" | "former"> = { owners: new Map(), former: new Map() };
  let leases = new Map<number, bigint>();
  let refused: ReadonlySet<number> = new Set();
  let isUrgent = false;
  const carried = new Map(carriedBefore);
  const hasEnded = ({ expiresAtMs }: SubscriptionTerms) => expiresAtMs !== undefined && Number(expiresAtMs) <= now();
  const isUsedUp = (id: number, { leaseBytes, failOpen }: SubscriptionTerms) => {
    const lent = leases.get(id) ?? leaseBytes;
    return lent !== undefined && (carried.get(id) ?? 0n) >= lent && !(failOpen && isCoreAway());
  };
  return {
    replace(next, of) {
      terms = new Map(Object.entries(next).map(([id, each]) => [Number(id), each]));
      leases = new Map();
      links = of;
    },
    carried(bySubscription) {
      for (const [id, bytes] of bySubscription) carried.set(id, (carried.get(id) ?? 0n) + bytes);
    },
    booked({ entries }, lent) {
      for (const { subscriptionId, bytesUp, bytesDown } of entries) {
        if (subscriptionId === undefined) continue;
        const id = Number(subscriptionId);
        const left = (carried.get(id) ?? 0n) - bytesUp - bytesDown;
        if (left > 0n) carried.set(id, left);
        else carried.delete(id);
      }
      for (const { subscriptionId, bytes } of lent) leases.set(Number(subscriptionId), bytes);
    },
    isRefused(linkUuid) {
      const { subscriptionId } = ownerIn(links, linkUuid) ?? {};
      return subscriptionId !== undefined && refused.has(subscriptionId);
    },
    review() {
      const usedUp = [...terms].filter(([id, each]) => isUsedUp(id, each)).map(([id]) => id);
      const ended = [...terms].filter(([, each]) => hasEnded(each)).map(([id]) => id);
      isUrgent = usedUp.some((id) => !refused.has(id) && (carried.get(id) ?? 0n) > 0n);
      const before = refused;
      refused = new Set([...usedUp, ...ended]);
      return refused.size !== before.size || [...refused].some((id) => !before.has(id));
    },
    get refused() {
      return refused.size;
    },
    get isUrgent() {
      return isUrgent;
    },
    nextEnd() {
      let next: number | undefined;
      for (const { expiresAtMs } of terms.values()) {
        const end = Number(expiresAtMs ?? 0);
        if (end > now() && (next === undefined || end < next)) next = end;
      }
      return next;
    },
  };
}
