import type { Incarnation, TrafficCounter, TrafficKind, TrafficReading } from "../../engines/engine.ts";
import { growth } from "../../engines/growth.ts";

/** What a counter of an engine has counted since the last reading. */
export interface Growth {
  readonly kind: TrafficKind;
  readonly name: string;
  readonly link: string;
  /** Never negative; both are zero where a counter only began again. */
  readonly upBytes: bigint;
  readonly downBytes: bigint;
  /** What the counter shows now: the baseline from now on. */
  readonly baseline: TrafficCounter;
}

/** What an engine's counters had counted when they were read last. */
export interface Baselines {
  readonly incarnation: Incarnation | undefined;
  get(key: string): Pick<TrafficCounter, "uplinkBytes" | "downlinkBytes"> | undefined;
}

/** Names a counter within its engine. */
export function counterKey({ kind, name, link }: Pick<TrafficCounter, "kind" | "name" | "link">): string {
  return `${kind}\n${name}\n${link}`;
}

/**
 * What has grown since the baselines were read. Of another incarnation all counts, and so does what a counter shows that
 * went down: it began again.
 */
export function growthSince(baselines: Baselines, { incarnation, counters }: TrafficReading): Growth[] {
  const isSame = baselines.incarnation === incarnation;
  const grown: Growth[] = [];
  for (const baseline of counters) {
    const { kind, name, link, uplinkBytes, downlinkBytes } = baseline;
    const before = isSame ? baselines.get(counterKey(baseline)) : undefined;
    const upBytes = growth(uplinkBytes, before?.uplinkBytes ?? 0n);
    const downBytes = growth(downlinkBytes, before?.downlinkBytes ?? 0n);
    const isChanged = uplinkBytes !== (before?.uplinkBytes ?? 0n) || downlinkBytes !== (before?.downlinkBytes ?? 0n);
    if (isChanged) grown.push({ kind, name, link, upBytes, downBytes, baseline });
  }
  return grown;
}
