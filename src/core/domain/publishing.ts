import { remainingMs } from "../../platform/remaining.ts";
import { type ConfigChange, mergeChanges } from "./config-changes.ts";
import type { ConfigPublisher, ConfigScope } from "./configs.ts";
import { createPace, type Pace } from "./pace.ts";
import type { Claim, Publication, PublicationStore } from "./publication-store.ts";
import { type RenderedConfig, renderConfig } from "./render/render.ts";
import type { LinkRow, NodeRows } from "./render/rows.ts";

/** Options of {@link Publishing}. */
export interface PublishingOptions {
  store: PublicationStore;
  /** A name that no other process has. */
  name: string;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Resolves when others had their turn. */
  rest: () => Promise<void>;
  /** Told of configs that are about to be published: those who watch will ask for them at once. */
  rendered?: (config: RenderedConfig) => void;
  /** So many revisions were published. */
  counted?: (revisions: number) => void;
  log: PublishingLog;
}

/** Where problems go that no caller waits for. */
interface PublishingLog {
  warn(details: object, message: string): void;
}

/**
 * Renders and publishes what has changed: soon after the change, once for many, by one of the replicas. What is to be
 * done is in the store, so that another replica does it, or this one after a restart, when nobody else has. Every node
 * is looked at once an hour besides.
 */
export class Publishing implements ConfigPublisher {
  readonly #options: PublishingOptions;
  readonly #pace: Pace;
  #changes: ConfigChange[] = [];
  #marking: Promise<void> | undefined;
  #working: Promise<void> | undefined;
  /** What was rendered last is being written; meanwhile others are rendered. Never rejects. */
  #writing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #checkAt: number;
  #woken = false;
  #closed = false;

  constructor(options: PublishingOptions) {
    this.#options = options;
    this.#pace = createPace(options.rest, () => performance.now());
    this.#checkAt = options.now() + checkEveryMs;
    this.#wakeIn(0);
  }

  changed(scope: ConfigScope, reason: string): void {
    if (this.#closed) return;
    this.#changes.push({ scope, reason });
    this.#marking ??= this.#mark().finally(() => {
      this.#marking = undefined;
    });
  }

  /** Changes were noted in the store by somebody else. */
  wake(): void {
    this.#wakeIn(0);
  }

  /** Finishes what it has begun; what was told before is noted. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#marking;
    await this.#working;
    await this.#writing;
  }

  /** Notes what has changed, what comes meanwhile together. */
  async #mark(): Promise<void> {
    const { store, now, log, rest } = this.#options;
    await rest();
    for (let tries = 0; this.#changes.length > 0; ) {
      const changes = this.#changes;
      this.#changes = [];
      try {
        for (const { scope, reason } of mergeChanges(changes)) await store.mark(scope, reason, now());
        tries = 0;
      } catch (error) {
        this.#changes.unshift(...changes);
        log.warn({ err: error }, "a change of configs could not be noted");
        if (this.#closed && ++tries >= 3) return;
        await new Promise((resolve) => setTimeout(resolve, markAgainMs));
      }
    }
    this.#wakeIn(0);
  }

  #wakeIn(ms: number): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#woken = true;
      this.#working ??= this.#workWhileWoken().finally(() => {
        this.#working = undefined;
      });
    }, ms);
  }

  /** Somebody may wake us while we are at it. */
  async #workWhileWoken(): Promise<void> {
    while (this.#woken && !this.#closed) {
      this.#woken = false;
      await this.#work();
    }
  }

  /** Publishes all that is due, and sleeps until something is. */
  async #work(): Promise<void> {
    const { store, now, log } = this.#options;
    let next = now() + pollMs;
    try {
      if (remainingMs(this.#checkAt, now(), checkEveryMs) === 0) {
        this.#checkAt = now() + checkEveryMs;
        await store.markUnchecked(now() - uncheckedMs, checkedAtOnce, now());
      }
      while (!this.#closed && (await this.#publishDue()));
      await this.#writing;
      next = Math.min(next, (await store.nextDueAt()) ?? next);
    } catch (error) {
      log.warn({ err: error }, "configs could not be published");
    }
    // What is due already is at work elsewhere: no use in asking for it all the time.
    this.#wakeIn(Math.min(Math.max(next - now(), leastSleepMs), pollMs));
  }

  /** Publishes some of the nodes that are due. False: none was. */
  async #publishDue(): Promise<boolean> {
    const { store, name, now, log } = this.#options;
    const claims = await store.claim(name, now(), now() + claimMs, claimedAtOnce);
    if (claims.length === 0) return false;
    const open = new Map(claims.map((claim) => [claim.nodeId, claim]));
    try {
      for await (const rendered of this.#render(open)) {
        for (const { nodeId } of rendered) open.delete(nodeId);
        await this.#writing;
        this.#writing = this.#write(rendered);
      }
    } catch (error) {
      log.warn({ err: error }, "configs could not be published");
    }
    // What is left could not be rendered, or is gone.
    await store.release(name, [...open.keys()], now() + againMs);
    return true;
  }

  async #write(publications: readonly Publication[]): Promise<void> {
    const { store, name, now, rendered = () => undefined, counted = () => undefined, log } = this.#options;
    try {
      for (const config of publications) rendered(config);
      counted(await store.publish(name, publications, now()));
    } catch (error) {
      log.warn({ err: error }, "configs could not be published");
      const nodeIds = publications.map(({ nodeId }) => nodeId);
      await store
        .release(name, nodeIds, now() + againMs)
        .catch((failure: unknown) =>
          log.warn({ err: failure }, "claims could not be given back: they end by themselves"),
        );
    }
  }

  /** Renders nodes, some at a time: they share what was read of users. */
  async *#render(claims: ReadonlyMap<number, Claim>): AsyncGenerator<Publication[]> {
    const { store, log } = this.#options;
    const nodes = await store.nodes([...claims.keys()]);
    const links = await this.#linksOf(nodes);
    let rendered: Publication[] = [];
    let size = 0;
    for (const node of nodes) {
      const claim = claims.get(node.nodeId);
      if (claim === undefined) continue;
      try {
        const config = await renderConfig(await this.#withAddresses(node, links), links, this.#pace);
        rendered.push({ ...claim, ...config, protocolVersion: node.protocolVersion });
        size += config.content.length;
      } catch (error) {
        log.warn({ err: error, nodeId: node.nodeId }, "the config of a node could not be rendered");
      }
      if (size < publishedAtOnce) continue;
      yield rendered;
      rendered = [];
      size = 0;
    }
    if (rendered.length > 0) yield rendered;
  }

  /** With the addresses of WireGuard's users, which those who are new are given now. */
  async #withAddresses(node: NodeRows, links: readonly LinkRow[]): Promise<NodeRows> {
    const { store, log } = this.#options;
    const { nodeId, protocols } = node;
    const tunnel = protocols.find(({ protocol, enabled }) => protocol === "wireguard" && enabled);
    if (tunnel === undefined || node.disabled) return node;
    let numbers = await store.addressNumbers(tunnel.id);
    const isNew = ({ protocol, access, subscriptionId }: LinkRow) =>
      protocol === "wireguard" && (access?.has(tunnel.id) ?? true) && !numbers.has(subscriptionId);
    const news = links.filter(isNew).map(({ subscriptionId }) => subscriptionId);
    if (news.length > 0) {
      const left = await store.giveAddresses(tunnel.id, news);
      numbers = await store.addressNumbers(tunnel.id);
      const details = { nodeId, nodeProtocolId: tunnel.id, left };
      if (left > 0)
        log.warn(details, "a WireGuard interface has no address for some subscriptions: it needs larger addressPools");
    }
    return { ...node, protocols: protocols.map((row) => (row === tunnel ? { ...row, numbers } : row)) };
  }

  #linksOf(nodes: readonly NodeRows[]): Promise<LinkRow[]> {
    const served = nodes.flatMap(({ protocols }) => protocols.filter(({ enabled }) => enabled));
    return this.#options.store.links([...new Set(served.map(({ protocol }) => protocol))], this.#pace);
  }
}

/** How long nobody notices what another process has left undone. */
const pollMs = 1_000;
const leastSleepMs = 50;
const markAgainMs = 500;
/** After a failure. */
const againMs = 10_000;
/** Longer than rendering what is claimed at once can take. */
const claimMs = 60_000;
const claimedAtOnce = 256;
/** Characters: as many as a transaction writes without keeping others waiting. */
const publishedAtOnce = 2 ** 22;
const checkEveryMs = 60_000;
const checkedAtOnce = 50;
const uncheckedMs = 3_600_000;
