import type { JsonObject } from "@bufbuild/protobuf";
import type { SessionEventEntry } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { isErrno } from "../../../platform/errno.ts";
import { DatabaseFull } from "../../../platform/storage/errors.ts";
import type { EngineExit, Incarnation, OnlineAddresses, TrafficReading } from "../../engines/engine.ts";
import type { Links } from "../config/links.ts";
import { jittered } from "../contact/backoff.ts";
import type { FaultReports } from "../contact/fault-reports.ts";
import type { DrivenEngine, EngineName } from "../engines/driven-engine.ts";
import type { Sleeper } from "../sleeper.ts";
import type { CounterGap, Spool } from "../spool/spool.ts";
import type { AddressLimits } from "./address-limits.ts";
import { createSampler } from "./sampler.ts";
import type { Sessions } from "./sessions.ts";
import type { Terms } from "./terms.ts";

/** Reads what the engines count into the spool, again and again, and finds out who is online and who is to be refused. */
export interface Collecting {
  /** An engine has told the last reading of an incarnation. */
  drained(name: EngineName, reading: TrafficReading): void;
  /** An engine has ended unasked. */
  exited(name: EngineName, exit: EngineExit): void;
  /** Reads everything now. Never rejects. */
  collect(): Promise<void>;
  /** An incarnation that an earlier process has left is gone. */
  vanished(name: EngineName, incarnation: Incarnation): void;
  /** Tells Core of gaps that an earlier process has noted, and not told of. */
  tellGaps(gaps: readonly CounterGap[]): void;
  /** Waits for what is being counted. */
  settled(): Promise<void>;
}

/** Options of {@link createCollecting}. */
export interface CollectingOptions {
  readonly engines: readonly DrivenEngine[];
  readonly spool: Pick<Spool, "count" | "note" | "noteGap" | "forgetGap">;
  readonly sessions: Sessions;
  readonly terms: Terms;
  readonly addressLimits: Pick<AddressLimits, "isLimited" | "seen">;
  readonly links: () => Links | undefined;
  /** Other links, or addresses, are to be refused now. */
  readonly refusedChanged: () => void;
  /** Core should hear at once what was counted. */
  readonly urgent: () => void;
  readonly faults: Pick<FaultReports, "report">;
  /** Milliseconds since 1970, by Core's clock. */
  readonly now: () => number;
}

/** Makes it; nothing is read yet. */
export function createCollecting(options: CollectingOptions): Collecting {
  const { engines, spool, sessions, terms, addressLimits, links, faults } = options;
  const failed = (error: unknown) => {
    const isFull = error instanceof DatabaseFull || isErrno(error, "ENOSPC");
    const message = `what the engines count cannot be kept: ${error instanceof Error ? error.message : error}`;
    faults.report({ code: isFull ? "DISK_FULL" : "SPOOL_FAILED", message, severity: "error" });
  };
  const samplers = new Map(
    engines.map((engine) => {
      const { now } = options;
      const { carried } = terms;
      return [engine.name, createSampler({ engine, spool, links, now, gap: tellEarlier, carried, failed })];
    }),
  );
  let noting: Promise<void> = Promise.resolve();
  /** What has happened to sessions, and could not be kept yet. */
  let unnoted: readonly SessionEventEntry[] = [];

  /** Tells Core of a gap that the spool has noted. */
  function tell(gap: CounterGap, how: string, more: JsonObject): void {
    const { engine, incarnation, readAt } = gap;
    const since = readAt === undefined ? "since it started" : `since ${new Date(readAt).toISOString()}`;
    faults.report({
      ...{ code: "USAGE_GAP", severity: "warning" },
      message: `${engine} ${how}: what it carried ${since} is not counted`,
      details: { engine, incarnation, ...(readAt !== undefined && { readAt }), ...more },
      kept: () => void spool.forgetGap(gap).catch(failed),
    });
  }

  function note(gap: CounterGap, isCertain: boolean, tellNoted: (gap: CounterGap) => void): void {
    noting = noting.then(async () => {
      const noted = await spool.noteGap(gap, isCertain).catch(failed);
      if (noted !== undefined) tellNoted(noted);
    });
  }

  function tellEarlier(gap: CounterGap): void {
    tell(gap, "has ended, and nobody saw it", {});
  }

  async function noteSessions(): Promise<void> {
    const known = links();
    if (known === undefined) return;
    const engineOf = new Map<string, DrivenEngine>();
    let haveAllTold = true;
    for (const engine of engines) {
      for (const name of samplers.get(engine.name)?.takeActive() ?? []) engineOf.set(name, engine);
      if (engine.counted?.state !== "running") continue;
      const online = await engine.onlineNames().catch(() => {
        haveAllTold = false; // it is asked again soon
        return undefined;
      });
      for (const name of online ?? []) engineOf.set(name, engine);
    }
    const addressOf = async (name: string) => {
      const addresses = await engineOf
        .get(name)
        ?.addresses(name)
        .catch(() => undefined);
      const [newest] = Object.entries(addresses ?? {}).sort(([, one], [, other]) => Number(other - one));
      return newest?.[0];
    };
    const seen = await sessions.seen(engineOf.keys(), known, addressOf);
    const events = [...unnoted, ...seen];
    unnoted = [];
    try {
      await spool.note(events);
    } catch (error) {
      unnoted = events.slice(-mostUnnoted);
      throw error;
    }
    await sessions.keep();
    // Whom an engine does not tell of has not left a place to others.
    if (haveAllTold && (await areOthersTooMany(engineOf))) options.refusedChanged();
  }

  /** Looks from where those are connected whose addresses are limited. True: others are to be refused now. */
  async function areOthersTooMany(engineOf: ReadonlyMap<string, DrivenEngine>): Promise<boolean> {
    const limited = [...engineOf].filter(([name]) => addressLimits.isLimited(name));
    const connected = new Map<string, OnlineAddresses>();
    for (let next = 0; next < limited.length; next += parallelCalls) {
      const some = limited.slice(next, next + parallelCalls);
      const answers = await Promise.all(some.map(([name, engine]) => engine.addresses(name))).catch(() => undefined);
      if (answers === undefined) return false; // it is asked again soon
      for (const [place, [name]] of some.entries()) {
        const addresses = answers[place];
        if (addresses !== undefined) connected.set(name, addresses);
      }
    }
    return addressLimits.seen(connected);
  }

  return {
    drained: (name, reading) => samplers.get(name)?.drained(reading),
    exited(name, { incarnation, code, signal, lastLines }) {
      // Of several telemts one ends, and their counters go on under another name. And what an engine has seen itself of
      // what it counted comes as a last reading, which is not the last that there was to read.
      const readAt = name === "xray" ? undefined : samplers.get(name)?.lastAskedAt;
      const endedAt = options.now();
      // What is no process has neither.
      const ended = signal !== null ? ` by ${signal}` : code !== null ? ` with code ${code}` : "";
      note({ engine: name, incarnation, readAt }, true, (gap) =>
        tell(gap, `has ended${ended}, and is started again`, {
          lastWords: lastLines.slice(-5).join("\n"),
          ...(gap.readAt !== undefined && { lostMs: Math.round(endedAt - gap.readAt) }),
        }),
      );
    },
    vanished: (name, incarnation) => note({ engine: name, incarnation, readAt: undefined }, false, tellEarlier),
    tellGaps(gaps) {
      for (const gap of gaps) tellEarlier(gap);
    },
    async collect() {
      await Promise.all([...samplers.values()].map((sampler) => sampler.sample()));
      await noteSessions().catch(failed);
      if (terms.review()) options.refusedChanged();
      if (terms.isUrgent) options.urgent();
    },
    async settled() {
      await Promise.all([noting, ...[...samplers.values()].map((sampler) => sampler.settled())]);
    },
  };
}

/** Users whose addresses are asked for at a time: it is one call to the engine for each. */
const parallelCalls = 16;
/** So much is kept in memory while the disk takes nothing. */
const mostUnnoted = 10_000;

/** Options of {@link runCollecting}. */
export interface RunOptions {
  readonly collecting: Pick<Collecting, "collect">;
  readonly terms: Pick<Terms, "nextEnd">;
  readonly periodMs: () => number;
  /** Milliseconds since 1970, by Core's clock. */
  readonly now: () => number;
  /** Woken when the pace or the terms have changed. */
  readonly sleeper: Pick<Sleeper, "sleep">;
  readonly signal: AbortSignal;
}

/** Collects until the signal aborts: when it is time, and when a subscription ends. Never rejects. */
export async function runCollecting(options: RunOptions): Promise<void> {
  const { collecting, terms, periodMs, now, sleeper, signal } = options;
  while (!signal.aborted) {
    await collecting.collect();
    const untilEndMs = (terms.nextEnd() ?? Number.POSITIVE_INFINITY) - now();
    await sleeper.sleep(Math.max(1, Math.min(jittered(periodMs()), untilEndMs)));
  }
}
