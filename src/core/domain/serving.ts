import { create } from "@bufbuild/protobuf";
import {
  type WatchConfigRequest,
  type WatchConfigResponse,
  WatchConfigResponseSchema,
} from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { deltaBetween } from "./config-delta.ts";
import { createConfigLibrary } from "./config-library.ts";
import { createConfigNews } from "./config-news.ts";
import type { ConfigHead, ConfigStore } from "./config-store.ts";
import { ConfigMissing, type Configs, type LatestConfig, WatchSuperseded } from "./configs.ts";
import { createMemory } from "./memory.ts";
import { createPace } from "./pace.ts";
import type { RenderedConfig } from "./render/render.ts";
import { afterApplied, afterError } from "./sync-status.ts";
import { together } from "./together.ts";
import { createWatches } from "./watches.ts";

/** Options of {@link serveConfigs}. */
export interface ServingOptions {
  store: ConfigStore;
  /** Milliseconds since 1970. */
  now: () => number;
  /** From 0 to less than 1. */
  random: () => number;
  /** Resolves when others had their turn. */
  rest: () => Promise<void>;
  /** A name that nobody else makes. */
  newName: () => string;
  /** Something went wrong that no caller waits for. */
  onProblem: (error: unknown) => void;
}

/** {@link Configs} with a life. */
export interface ServedConfigs extends Configs {
  /** Streams that are open in this process. */
  readonly watchers: number;
  /** Takes in a config that is about to be published: those who watch will ask for it at once. */
  rendered(config: RenderedConfig): void;
  /** Hears nothing any more of what is published. Streams end by their signals. */
  close(): void;
}

/** Serves the configs that the store has. */
export function serveConfigs({ store, now, random, rest, newName, onProblem }: ServingOptions): ServedConfigs {
  const pace = createPace(rest, () => performance.now());
  const library = createConfigLibrary({ load: store.content, pace, capacity: libraryCapacity });
  const news = createConfigNews();
  const findHead = together<number, ConfigHead>((nodeIds) => store.heads(nodeIds));
  const heads = createMemory<NodeHead>({
    async load(key) {
      const head = await findHead(Number(key));
      return head && { ...head, nodeId: Number(key), etag: etagOf(head) };
    },
    ttlMs: rememberedMs,
    capacity: mostRemembered,
    now,
  });
  const watches = createWatches({
    newName,
    announce: (nodeId, stream) => void store.announceWatch(nodeId, stream).catch(onProblem),
  });
  const arrived = (nodeIds?: readonly number[]) => {
    const ids = nodeIds && new Set(nodeIds);
    heads.forget(ids && (({ nodeId }) => ids.has(nodeId)));
    news.arrived(nodeIds);
  };
  const subscriptions = [store.onPublished(arrived), store.onWatch(watches.heard)];
  // A notification may be lost: whoever waits looks now and then.
  const timer = setInterval(() => arrived(), lookEveryMs).unref();

  /** The newest config that is not the one that the caller has, as long as it may wait. */
  async function newest(nodeId: number, ms: number, signal: AbortSignal, has: (head: NodeHead) => boolean) {
    const endsAt = now() + ms;
    for (;;) {
      const since = news.now();
      const found = heads.get(`${nodeId}`);
      const head = found instanceof Promise ? await found : found;
      const leftMs = endsAt - now();
      if ((head !== undefined && !has(head)) || leftMs <= 0 || signal.aborted) return head;
      await news.next(nodeId, since, leftMs, signal);
    }
  }

  async function delta(nodeId: number, since: bigint, digest: string, head: NodeHead) {
    if (head.revision - Number(since) > mostRevisionsBehind) return undefined;
    const base = await store.digestOf(nodeId, Number(since));
    if (base === undefined || (digest !== "" && digest !== base)) return undefined;
    return deltaBetween(library, base, head, pace);
  }

  async function* watch(
    nodeId: number,
    { deltas }: WatchConfigRequest,
    signal: AbortSignal,
  ): AsyncGenerator<WatchConfigResponse> {
    const stream = watches.open(nodeId);
    const ended = AbortSignal.any([signal, stream.superseded]);
    const endsAt = now() + shortestLifeMs * (1 + random());
    try {
      let told = await newest(nodeId, 0, ended, () => false);
      yield told === undefined ? keepAlive(now()) : announcement(told);
      while (now() < endsAt && !ended.aborted) {
        const quietMs = keepAliveMs * (0.8 + 0.4 * random());
        const head = await newest(nodeId, Math.min(quietMs, endsAt - now()), ended, (one) => isSame(one, told));
        if (ended.aborted) break;
        if (head === undefined || isSame(head, told)) {
          yield keepAlive(now());
          continue;
        }
        const way = deltas && told !== undefined ? await deltaBetween(library, told.digest, head, pace) : undefined;
        told = head;
        yield way === undefined
          ? announcement(head)
          : create(WatchConfigResponseSchema, { event: { case: "delta", value: way } });
      }
      if (stream.superseded.aborted) throw new WatchSuperseded();
    } finally {
      stream.close();
    }
  }

  return {
    async latest(nodeId, { digest, wait, since }, signal, known): Promise<LatestConfig> {
      const has =
        known === undefined ? (head: NodeHead) => head.digest === digest : ({ etag }: NodeHead) => known(etag);
      const remembered = heads.get(`${nodeId}`);
      if (wait === 0 && "etag" in remembered && has(remembered)) return { etag: remembered.etag, unchanged: true };
      const head = await newest(nodeId, wait * 1_000, signal, has);
      if (head === undefined) throw new ConfigMissing();
      const { etag } = head;
      if (has(head)) return { etag, unchanged: true };
      const way = since === undefined ? undefined : await delta(nodeId, since, digest, head);
      if (way !== undefined) return { etag, delta: way };
      const config = await library.config(head);
      if (config === undefined) throw new ConfigMissing();
      return { etag, config };
    },
    watch,
    async applied(nodeId, report) {
      await store.changeSync(nodeId, Number(report.revision ?? 0n), now(), (state) => afterApplied(state, report));
    },
    async failed(nodeId, report) {
      const about = report.revision === undefined ? undefined : Number(report.revision);
      await store.changeSync(nodeId, about, now(), (state) => afterError(state, report));
    },
    get watchers() {
      return watches.size;
    },
    rendered(config) {
      if (watches.size > 0) library.add(config);
    },
    close() {
      clearInterval(timer);
      for (const subscription of subscriptions) subscription.close();
    },
  };
}

interface NodeHead extends ConfigHead {
  readonly nodeId: number;
  readonly etag: string;
}

function etagOf({ revision, digest, protocolVersion }: ConfigHead): string {
  return `"${revision}-${protocolVersion}-${digest}"`;
}

function isSame(head: NodeHead, told: NodeHead | undefined): boolean {
  return head.revision === told?.revision;
}

function announcement({ revision, digest }: ConfigHead): WatchConfigResponse {
  return create(WatchConfigResponseSchema, {
    event: { case: "announcement", value: { revision: BigInt(revision), digest } },
  });
}

function keepAlive(nowMs: number): WatchConfigResponse {
  return create(WatchConfigResponseSchema, { event: { case: "keepAlive", value: { serverTimeMs: BigInt(nowMs) } } });
}

/** How old the newest revision may be in memory when the word of another one is lost. */
const rememberedMs = 1_000;
const mostRemembered = 50_000;
const lookEveryMs = 10_000;
/** Characters of content. */
const libraryCapacity = 2 ** 26;
const mostRevisionsBehind = 20;
const keepAliveMs = 25_000;
/** A stream lives once to twice as long. */
const shortestLifeMs = 15 * 60_000;
