import { setTimeout as sleep } from "node:timers/promises";
import { ApplyTimedOut } from "../engine-error.ts";
import type { InboundConfig } from "./config.ts";
import type { RenderedConfig, RenderedInbound } from "./render.ts";
import type { RunningTelemt } from "./running.ts";
import type { TrafficSample } from "./traffic.ts";

/** How long telemt may take for a change. */
export interface ApplyPace {
  /** To read its files by itself. It looks every 3 s, and when the kernel tells that they have changed. */
  readonly adoptMs: number;
  /** To read them when it is told to. */
  readonly adoptToldMs: number;
  /** To end the connections of users who are not let in any more. */
  readonly drainMs: number;
}

export const usualApplyPace: ApplyPace = { adoptMs: 10_000, adoptToldMs: 5_000, drainMs: 5_000 };

/** Options of {@link applyLive}. */
export interface ApplyOptions {
  readonly pace: ApplyPace;
  /** Takes a sample of traffic, which is counted. */
  readonly sample: () => Promise<TrafficSample>;
  /** Aborted when the change is not wanted any more. */
  readonly signal: AbortSignal;
}

/**
 * Changes users and all else that telemt reads while it runs. Nobody's connections end but those of users who are
 * removed, or whose secret is another one now; what these have used is counted. Throws {@link ApplyTimedOut} when telemt
 * does not follow; then its files are as they were before, and so is what it does unless it hangs.
 */
export async function applyLive(
  running: RunningTelemt,
  before: InboundConfig,
  after: InboundConfig,
  options: ApplyOptions,
): Promise<void> {
  const written = running.written;
  const leaving = leaversOf(before, after);
  try {
    if (leaving.size > 0) {
      // Who is only removed stays connected, and whoever connects meanwhile, too.
      await adopt(running, running.render(withLeavers(before, after, leaving)), options);
      await untilDrained(leaving, options);
    }
    await adopt(running, running.render(entire(after)), options);
  } catch (error) {
    await running.write(written);
    throw error;
  }
}

/**
 * Has telemt let nobody in any more, ends all connections and counts what they have used: nothing is lost when its
 * process ends then. Never rejects: one that does not follow is to be ended anyway.
 */
export async function drainAll(running: RunningTelemt, config: InboundConfig, options: ApplyOptions): Promise<void> {
  const everybody = new Set(config.users.keys());
  try {
    await running.api.health(aliveMs);
    const pace = { ...options.pace, adoptMs: Math.min(options.pace.adoptMs, hurryMs) };
    await adopt(running, running.render({ ...entire(config), disabled: everybody }), { ...options, pace });
    await untilDrained(everybody, options);
  } catch (error) {
    if (error instanceof ApplyTimedOut) await options.sample().catch(() => undefined);
  }
}

/** One that is silent for so long is not worth waiting for. */
const aliveMs = 2_000;
/** After this time it is told to read its files: somebody waits for its end. */
const hurryMs = 1_000;

/** An inbound with all its users let in. */
export function entire(config: InboundConfig): RenderedInbound {
  return { config, users: config.users, disabled: new Set() };
}

/** Who is not let in any more with what they have. */
function leaversOf(before: InboundConfig, after: InboundConfig): ReadonlySet<string> {
  const leavers = new Set<string>();
  for (const [name, { secret }] of before.users) if (after.users.get(name)?.secret !== secret) leavers.add(name);
  return leavers;
}

function withLeavers(before: InboundConfig, config: InboundConfig, leaving: ReadonlySet<string>): RenderedInbound {
  const users = new Map(config.users);
  for (const name of leaving) {
    const user = before.users.get(name);
    if (user !== undefined) users.set(name, user);
  }
  return { config, users, disabled: leaving };
}

/** Writes a config and waits until telemt works by it. */
async function adopt(running: RunningTelemt, config: RenderedConfig, { pace, signal }: ApplyOptions): Promise<void> {
  await running.write(config);
  if (await untilAdopted(running, pace.adoptMs, signal)) return;
  running.process.signal("SIGHUP");
  if (await untilAdopted(running, pace.adoptToldMs, signal)) return;
  throw new ApplyTimedOut(
    signal.aborted ? "stopped while telemt was changed" : "telemt does not take over its changed config",
  );
}

async function untilAdopted(running: RunningTelemt, withinMs: number, signal: AbortSignal): Promise<boolean> {
  return until(() => running.hasAdopted().catch(() => false), withinMs, signal);
}

/** Waits until these users have no connections, but no longer than it may take. */
async function untilDrained(leaving: ReadonlySet<string>, { pace, signal, sample }: ApplyOptions): Promise<void> {
  const isDrained = async () => {
    const { connections } = await sample();
    return [...leaving].every((name) => !connections.has(name));
  };
  await until(() => isDrained().catch(() => false), pace.drainMs, signal);
}

/** Asks, at first often, until it is so. False: it was not within the time. */
async function until(condition: () => Promise<boolean>, withinMs: number, signal: AbortSignal): Promise<boolean> {
  const end = performance.now() + withinMs;
  for (let pauseMs = 20; !(await condition()); pauseMs = Math.min(500, pauseMs * 1.5)) {
    const leftMs = end - performance.now();
    if (leftMs <= 0 || signal.aborted) return false;
    await sleep(Math.min(pauseMs, leftMs), undefined, { signal }).catch(() => undefined);
  }
  return true;
}
