import type { TrafficCounter, TrafficReading } from "../../engines/engine.ts";
import { EngineNotRunning, EngineUnreachable } from "../../engines/engine-error.ts";
import type { Links } from "../config/links.ts";
import { ownerIn } from "../config/links.ts";
import type { DrivenEngine } from "../engines/driven-engine.ts";
import { refusingTag } from "../engines/refused-addresses.ts";
import type { CounterGap, Spool } from "../spool/spool.ts";

/** Reads the counters of one engine into the spool. */
export interface Sampler {
  /** Counts what has grown. An engine that does not run, or does not answer, is left for the next time. */
  sample(): Promise<void>;
  /** The engine has told the last reading of an incarnation. What was read of it before and comes later is ignored. */
  drained(reading: TrafficReading): void;
  /** The names of users that have grown since this was called last. */
  takeActive(): ReadonlySet<string>;
  /** When the engine was asked for what was counted last, in milliseconds since 1970. Undefined: nothing was yet. */
  readonly lastAskedAt: number | undefined;
  /** Waits for what is being counted. */
  settled(): Promise<void>;
}

/** Options of {@link createSampler}. */
export interface SamplerOptions {
  readonly engine: DrivenEngine;
  readonly spool: Pick<Spool, "count">;
  readonly links: () => Links | undefined;
  /** Milliseconds since 1970, by Core's clock. */
  readonly now: () => number;
  /** An incarnation has ended without a last reading, which nobody here has noticed. */
  readonly gap: (gap: CounterGap) => void;
  /** Bytes were counted, by subscription. */
  readonly carried: (bySubscription: ReadonlyMap<number, bigint>) => void;
  /** What was read could not be counted: it will be with the next reading. */
  readonly failed: (error: unknown) => void;
}

const minuteMs = 60_000;
/** A reading may still be on its way when its incarnation ends; nothing is on its way for so many restarts. */
const endedRemembered = 8;

/** Makes one. Readings are counted one at a time, in the order in which they were taken. */
export function createSampler(options: SamplerOptions): Sampler {
  const { engine, spool, links, now, gap: tellGap, carried, failed } = options;
  let active = new Set<string>();
  let ended: readonly string[] = [];
  let lastAskedAt: number | undefined;
  let last: Promise<void> = Promise.resolve();
  const lastReadings: TrafficReading[] = [];

  async function count(reading: TrafficReading, readAt: number, isLast: boolean): Promise<void> {
    const { bySubscription, grownUsers, gap } = await spool.count(withoutStrays(reading), {
      ...{ engine: engine.name, readAt, isLast },
      minute: Math.floor(now() / minuteMs) * minuteMs,
      attribute: (uuid) => {
        const known = links();
        return known && ownerIn(known, uuid);
      },
      protocolOf: (tag) => links()?.protocols.get(tag),
    });
    for (const name of grownUsers) active.add(name);
    carried(bySubscription);
    if (gap !== undefined) tellGap(gap);
  }

  /** What no engine can tell again is counted before anything that is newer. */
  async function countLastReadings(): Promise<void> {
    for (let reading = lastReadings[0]; reading !== undefined; reading = lastReadings[0]) {
      await count(reading, now(), true);
      lastReadings.shift();
    }
  }

  async function read(): Promise<void> {
    await countLastReadings();
    const { counted } = engine;
    if (counted === undefined || counted.state === "stopped") return;
    try {
      const askedAt = now();
      const reading = await counted.readTraffic();
      if (ended.includes(reading.incarnation)) return;
      await count(reading, askedAt, false);
      lastAskedAt = askedAt;
    } catch (error) {
      if (error instanceof EngineNotRunning || error instanceof EngineUnreachable) return;
      failed(error);
    }
  }

  const inTurn = (work: () => Promise<void>) => {
    last = last.then(work).catch(failed);
    return last;
  };
  return {
    sample: () => inTurn(read),
    drained(reading) {
      ended = [reading.incarnation, ...ended].slice(0, endedRemembered);
      lastReadings.push(reading);
      void inTurn(countLastReadings);
    },
    takeActive() {
      const taken = active;
      active = new Set();
      return taken;
    },
    get lastAskedAt() {
      return lastAskedAt;
    },
    settled: () => last,
  };
}

/** Without what does not go out by an outbound that Core knows: what is refused, and WireGuard's, which users have. */
function withoutStrays({ incarnation, counters }: TrafficReading): TrafficReading {
  const isStray = ({ kind, name, link }: TrafficCounter) =>
    kind === "outbound" && (name === refusingTag || link === "interface");
  return { incarnation, counters: counters.filter((counter) => !isStray(counter)) };
}
