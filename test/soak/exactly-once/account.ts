import type { Transfer } from "./traffic.ts";
import type { Life, Snapshot } from "./witness.ts";

/** How many bytes of a subscription have crossed the engines' counters, and how many of these may be lost. */
export interface Expected {
  readonly least: number;
  readonly most: number;
  /** What these are made of, in words. */
  readonly made: readonly string[];
}

/** A gap that the node has told of. Times are by {@link performance.now}. */
interface ToldGap {
  readonly pid: number;
  /** Undefined: nothing was ever read of it. */
  readonly readAt: number | undefined;
}

/** Options of {@link expectedBytes}. */
export interface AccountOptions {
  readonly lives: readonly Life[];
  readonly gaps: readonly ToldGap[];
  readonly transfers: readonly Transfer[];
  /** By e-mail. */
  readonly subscriptionOf: (email: string) => number | undefined;
}

/** The clocks of the node and of this process may differ by that much. */
const clockMs = 300;
/** An engine that is ended on purpose is gone so long after its last reading, on a busy machine. */
export const endingMs = 1_000;

/**
 * What Core has to have booked, by subscription. Of an engine that lives all has to be there, to the byte; so it has of
 * one that ended on purpose while nothing was under way. Of one that ended otherwise, what it had counted when the node
 * read it last.
 */
export function expectedBytes({ lives, gaps, transfers, subscriptionOf }: AccountOptions): Map<number, Expected> {
  const expected = new Map<number, { least: number; most: number; made: string[] }>();
  const of = (id: number) => {
    const known = expected.get(id) ?? { least: 0, most: 0, made: [] };
    expected.set(id, known);
    return known;
  };
  for (const life of lives) {
    const last = life.snapshots.at(-1);
    const gap = gaps.find(({ pid }) => pid === life.pid);
    const surelyRead = snapshotOfLeast(life, gap);
    const least = bySubscription(surelyRead, subscriptionOf);
    for (const [id, bytes] of bySubscription(last, subscriptionOf)) {
      const sum = of(id);
      sum.most += bytes;
      sum.least += least.get(id) ?? 0;
      sum.made.push(`${least.get(id) ?? 0} of ${bytes} ${inWords(life, gap, surelyRead)}`);
    }
    if (life.endedAt === undefined) continue;
    // What was under way when nobody looked any more.
    const since = last?.askedAt ?? life.foundAt - clockMs;
    for (const { subscriptionId, startedAt, endedAt = Number.POSITIVE_INFINITY, most } of transfers)
      if (startedAt <= life.endedAt && endedAt >= since) of(subscriptionId).most += most;
  }
  return expected;
}

function inWords({ pid, snapshots, endedAt, killedAt }: Life, gap: ToldGap | undefined, surelyRead?: Snapshot): string {
  const times = {
    ...{ first: snapshots[0]?.askedAt, surelyRead: surelyRead?.answeredAt, last: snapshots.at(-1)?.askedAt },
    ...{ killed: killedAt, ended: endedAt, "by the gap": gap?.readAt },
  };
  const told = Object.entries(times).map(([what, at]) => `${what} ${at === undefined ? "never" : Math.round(at)}`);
  return `by Xray ${pid} (ms: ${told.join(", ")}${gap === undefined ? ", no gap" : ""})`;
}

/** The last snapshot that the node must have read as well. */
function snapshotOfLeast({ snapshots, endedAt, killedAt }: Life, gap: ToldGap | undefined): Snapshot | undefined {
  if (endedAt === undefined) return snapshots.at(-1);
  if (gap !== undefined) return before(snapshots, gap.readAt === undefined ? 0 : gap.readAt - clockMs);
  // Killed in the moment in which it was ended anyway.
  if (killedAt !== undefined) return before(snapshots, killedAt - endingMs);
  return before(snapshots, endedAt - endingMs);
}

function before(snapshots: readonly Snapshot[], at: number): Snapshot | undefined {
  return snapshots.findLast(({ answeredAt }) => answeredAt <= at);
}

function bySubscription(
  snapshot: Snapshot | undefined,
  subscriptionOf: AccountOptions["subscriptionOf"],
): Map<number, number> {
  const sums = new Map<number, number>();
  for (const [email, bytes] of snapshot?.bytes ?? []) {
    const id = subscriptionOf(email);
    if (id !== undefined) sums.set(id, (sums.get(id) ?? 0) + bytes);
  }
  return sums;
}
