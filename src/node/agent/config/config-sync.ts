import { create } from "@bufbuild/protobuf";
import {
  type EngineApplied,
  type NodeFault,
  NodeFaultSchema,
  type ReportAppliedRequest,
  ReportAppliedRequestSchema,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { ConfigDelta, NodeConfig } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { ApplyState } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import { createInTurn } from "../../../platform/in-turn.ts";
import { remainingMs } from "../../../platform/remaining.ts";
import type { Logger } from "../../../platform/telemetry/log.ts";
import type { Contact } from "../contact/contact.ts";
import { CoreRefused } from "../contact/core-client.ts";
import type { FaultReports } from "../contact/fault-reports.ts";
import type { DrivenEngine, Refusals } from "../engines/driven-engine.ts";
import { createApplying } from "./applying.ts";
import { contentOf, digestOf } from "./config-content.ts";
import { type FetchedConfig, fetchConfig } from "./config-fetch.ts";
import { codeOf, DigestMismatch } from "./failure.ts";
import { type GoodConfig, keepConfig, readKeptConfig } from "./kept-config.ts";
import { linksOf } from "./links.ts";
import { withUsersOf } from "./newer-users.ts";

/** A config that Core has announced. */
export interface Announced {
  readonly revision: number;
  readonly digest: string;
  /** The way to it. Undefined: it is to be fetched. */
  readonly delta?: ConfigDelta;
}

/** Has the engines run what Core wants. */
export interface ConfigSync {
  /** What runs, or is to come back. Undefined: nothing was ever applied. */
  readonly current: GoodConfig | undefined;
  readonly state: ApplyState;
  /** Why the newest config does not run. */
  readonly fault: NodeFault | undefined;
  /** Runs the last good config that is kept, before Core is asked for anything. Never rejects. */
  restore(): Promise<void>;
  /** Fetches the newest config and applies it, unless it runs, or has failed a moment ago. Throws what calls throw. */
  sync(announced?: Announced): Promise<void>;
  /** Applies what runs again: other links are refused now. Never rejects. */
  enforce(): Promise<void>;
  /** Waits for what is under way. */
  settled(): Promise<void>;
}

/** Options of {@link createConfigSync}. */
export interface ConfigSyncOptions {
  readonly contact: Pick<Contact, "call">;
  /** In the order in which they are changed. */
  readonly engines: readonly DrivenEngine[];
  /** Where the last good config is kept; its directory exists. */
  readonly file: string;
  /** Who is not let in, by the terms of subscriptions. */
  readonly refusals: Refusals;
  /** Another config runs from now on. */
  readonly changed: (config: GoodConfig) => void;
  /** A config was applied, or could not be. */
  readonly counted: (outcome: "applied" | "failed") => void;
  readonly faults: Pick<FaultReports, "report">;
  /** The engines are about to be ended: nothing is applied any more. */
  readonly signal: AbortSignal;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: Logger;
}

const minuteMs = 60_000;
/** A config that has failed is tried again after so long, unless there is another one by then. */
const retryAfterMs = [1, 5, 15, 60].map((minutes) => minutes * minuteMs);

/** Makes it; nothing is applied yet. */
export function createConfigSync(options: ConfigSyncOptions): ConfigSync {
  const { contact, engines, file, refusals, changed, counted, faults, signal, now, log } = options;
  let current: GoodConfig | undefined;
  /** What the engines are to run: the current one, with the users of a newer one where that does not run. */
  let serving: GoodConfig | undefined;
  let state: ApplyState = ApplyState.EMPTY;
  let fault: NodeFault | undefined;
  let failed:
    | { readonly digest: string; readonly times: number; readonly at: number; readonly waitMs: number }
    | undefined;
  let untold: ReportAppliedRequest | undefined;
  const inTurn = createInTurn();
  const applying = createApplying({ engines, refusals, faults, signal, log });
  const bringBack = async () => serving !== undefined && applying.bringBack(serving);
  const isHeldBack = (digest: string) =>
    failed?.digest === digest && remainingMs(failed.at + failed.waitMs, now(), failed.waitMs) > 0;

  /** Tells Core what runs. When that is not heard, it is told again by the next call of `sync`. */
  async function tellApplied(): Promise<void> {
    const report = untold;
    if (report === undefined) return;
    try {
      await contact.call((core, call) => core.reportApplied(report, call));
    } catch (error) {
      if (!(error instanceof CoreRefused)) throw error;
      log.warn(
        { code: error.code, revision: Number(report.revision) },
        `Core does not note the revision: ${error.message}`,
      );
    }
    if (untold === report) untold = undefined;
  }

  /** The engines are to run this from now on; whoever counts and refuses knows it before they do. */
  function serve(good: GoodConfig): void {
    serving = good;
    changed(good);
  }

  /** What is current is what Core wants, be it under another number: the users of what did not run go again. */
  async function keepTo(revision: number): Promise<void> {
    if (current === undefined) return;
    if (isMixed()) {
      current = { ...current, links: linksOf(current.config, serving?.links ?? current.links, now()) };
      serve(current);
      if (!(await bringBack())) state = ApplyState.FAILED;
    } else if (current.revision === revision) return;
    current = { ...current, revision };
    serving = current;
    await keepConfig(file, current);
    untold = create(ReportAppliedRequestSchema, { revision: BigInt(revision), digest: current.digest });
  }

  async function fetchAndApply(announced: Announced | undefined): Promise<void> {
    if (announced !== undefined && announced.digest !== "") {
      if (announced.digest === current?.digest) {
        settle();
        await keepTo(announced.revision);
        return tellApplied();
      }
      if (isHeldBack(announced.digest)) return;
    }
    const began = performance.now();
    const read = await fetchConfig({ contact, current, delta: announced?.delta, log });
    if (read === undefined || isHeldBack(read.config.digest)) return;
    await apply(read, began);
  }

  /** What runs is what Core wants. */
  function settle(): void {
    failed = undefined;
    fault = undefined;
    state = ApplyState.SYNCED;
  }

  async function apply({ config, content: known }: FetchedConfig, began: number): Promise<void> {
    const revision = Number(config.revision);
    state = ApplyState.APPLYING;
    let applied: EngineApplied[];
    let good: GoodConfig | undefined;
    try {
      const content = known ?? contentOf(config);
      const digest = digestOf(content);
      if (digest !== config.digest) throw new DigestMismatch(config.digest, digest);
      const links = linksOf(config, serving?.links ?? { owners: new Map(), former: new Map() }, now());
      good = { revision, digest, content, config, links };
      // Whom they belong to has to be known before the first bytes come, and whom to refuse before they are let in.
      changed(good);
      applied = await applying.apply(config);
      await keepConfig(file, good);
      current = good;
      serving = good;
    } catch (error) {
      if (current !== undefined) serve(good === undefined ? (serving ?? current) : mixed(current, good));
      await refuse(config, error);
      return;
    }
    settle();
    counted("applied");
    const durationMs = performance.now() - began;
    log.info({ revision, digest: config.digest.slice(0, 12), durationMs: Math.round(durationMs) }, "config applied");
    untold = create(ReportAppliedRequestSchema, {
      ...{ revision: config.revision, digest: config.digest, engines: applied },
      durationMs: BigInt(Math.round(durationMs)),
    });
    await tellApplied();
  }

  /** What runs, with the users of what does not: whom Core has sent away is out, whatever else is wrong with the rest. */
  function mixed(good: GoodConfig, newer: GoodConfig): GoodConfig {
    const config = withUsersOf(good.config, newer.config);
    return { ...good, config, links: linksOf(config, serving?.links ?? good.links, now()) };
  }

  function isMixed(): boolean {
    return serving?.config !== current?.config;
  }

  async function refuse({ revision, digest }: NodeConfig, error: unknown): Promise<void> {
    signal.throwIfAborted();
    counted("failed");
    const times = failed?.digest === digest ? failed.times + 1 : 1;
    const waitMs = retryAfterMs[Math.min(times, retryAfterMs.length) - 1] ?? minuteMs;
    failed = { digest, times, at: now(), waitMs };
    const isBack = await bringBack();
    state = isBack ? ApplyState.ROLLED_BACK : current === undefined ? ApplyState.EMPTY : ApplyState.FAILED;
    const reason = error instanceof Error ? error.message : String(error);
    const outcome = isBack
      ? `revision ${current?.revision} runs on${isMixed() ? ", with the users of this one" : ""}`
      : current === undefined
        ? "nothing runs, as before"
        : `revision ${current.revision} does not run either`;
    fault = create(NodeFaultSchema, { code: codeOf(error), message: reason });
    faults.report({
      ...{ code: codeOf(error), severity: "error", revision: Number(revision) },
      message: `revision ${revision} cannot be applied, ${outcome}: ${reason}`,
      details: { digest, tries: times, ...(current !== undefined && { runs: current.revision }) },
    });
  }

  return {
    get current() {
      return current;
    },
    get state() {
      return state;
    },
    get fault() {
      return fault;
    },
    restore: () =>
      inTurn(async () => {
        const kept = await readKeptConfig(file, now()).catch((error: unknown) => {
          log.error({ err: error }, "the last good config cannot be read: the node waits for Core");
          return undefined;
        });
        if (kept === undefined) return;
        log.info({ revision: kept.revision }, "brings back the last good config");
        current = kept;
        serve(kept);
        state = (await bringBack()) ? ApplyState.SYNCED : ApplyState.FAILED;
      }),
    sync: (announced) => inTurn(() => fetchAndApply(announced)),
    enforce: () =>
      inTurn(async () => {
        if (current !== undefined && !(await bringBack())) state = ApplyState.FAILED;
      }),
    settled: () => inTurn(async () => undefined),
  };
}
