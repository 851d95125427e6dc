import type { Delivery } from "../../platform/listener/delivery.ts";
import type { Logger } from "../../platform/telemetry/log.ts";
import type { TrafficCounter, TrafficKind } from "../engines/engine.ts";
import type { BackendEngine } from "./backend.ts";
import { CoreNotStarted, TrafficNotCounted, TrafficTargetUnknown } from "./situations.ts";

/** Which counters are read, and whether they start from zero again. */
export interface TrafficQuery {
  readonly kind: TrafficKind;
  /** Undefined: all. */
  readonly name: string | undefined;
  readonly reset: boolean;
}

/** Whose counters are read. */
export interface TrafficSources {
  /** All there are: what one has counted that was stopped since is not lost. */
  readonly all: readonly BackendEngine[];
  /** Those that run; at least one. */
  readonly running: readonly BackendEngine[];
  readonly log: Logger;
}

/**
 * Bytes of all backends since the last reset, which takes effect once the reply is delivered. One that cannot be asked
 * just now tells what it was seen to have counted; the rest is in the next answer.
 *
 * Throws {@link TrafficNotCounted}, {@link TrafficTargetUnknown}, {@link CoreNotStarted} when the only one that counts
 * them is not there just now, and when none can be asked what the first throws.
 */
export async function readTraffic(
  { kind, name, reset }: TrafficQuery,
  { all, running, log }: TrafficSources,
  reply: Delivery,
): Promise<TrafficCounter[]> {
  const active = all.filter(({ isActive }) => isActive);
  const counting = running.filter(({ engine }) => engine?.counts.has(kind));
  if (counting.length === 0) {
    if (active.some(({ engine }) => engine?.counts.has(kind))) throw new CoreNotStarted(); // it is on its way back
    throw new TrafficNotCounted(kind, running.map((backend) => backend.name).join(" and "));
  }
  const looks = await Promise.allSettled(counting.map((backend) => backend.whileRunning(() => backend.observe(kind))));
  const failures = looks.flatMap((look) => (look.status === "rejected" ? [look.reason as unknown] : []));
  if (failures.length === counting.length) throw failures[0];
  for (const err of failures) log.warn({ err }, "the counters of one backend could not be read");
  const isKnown = (given: string) =>
    active.some(({ engine }) => engine?.knows(kind, given)) ||
    all.some(({ counters }) => counters.hasUnread(kind, given));
  if (name !== undefined && !isKnown(name)) throw new TrafficTargetUnknown(kind);
  if (!reset) return joined(all.map(({ counters }) => counters.read(kind, name)));
  const taken = all.map(({ counters }) => counters.take(kind, name));
  reply.watch({
    delivered() {
      for (const { confirm } of taken) confirm();
    },
    lost() {
      for (const { giveBack } of taken) giveBack();
    },
  });
  return joined(taken.map(({ counters }) => counters));
}

// Of a large node they are many, which this copies at once.
function joined(lists: readonly TrafficCounter[][]): TrafficCounter[] {
  return ([] as TrafficCounter[]).concat(...lists);
}
