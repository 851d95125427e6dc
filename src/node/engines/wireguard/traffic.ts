import { createInTurn, type InTurn } from "../../../platform/in-turn.ts";
import type { TrafficReading } from "../engine.ts";
import { type KeptCounter, PeerCounters } from "./counters.ts";
import { reached } from "./device/device.ts";
import { type InterfaceBytes, readInterfaceBytes } from "./host/interface-bytes.ts";
import type { Tunnel } from "./tunnel.ts";

/** Options of {@link InterfaceTraffic}. */
export interface InterfaceTrafficOptions {
  readonly tunnel: Tunnel;
  readonly interfaceName: string;
  /** Who has a key now. */
  readonly ownerOf: (publicKey: string) => string | undefined;
  /** Tells the time in Unix milliseconds. */
  readonly now: () => number;
  /** Told how counters stand that WireGuard itself is about to forget, or to have of somebody else. Never rejects. */
  readonly keep: (counters: readonly KeptCounter[]) => Promise<void>;
}

/** What an interface has carried, and for whom: those who have gone are counted a last time. */
export class InterfaceTraffic {
  readonly counters: PeerCounters;
  /** One look at the counters at a time, and none while peers are being taken away. */
  readonly inTurn: InTurn = createInTurn();
  readonly #options: InterfaceTrafficOptions;
  // Who had the keys that carry nothing any more, and are still to be counted a last time.
  readonly #leaving = new Map<string, string>();
  #observedAt = Number.NEGATIVE_INFINITY;
  /** What has gone through the interface altogether, when it was seen last. */
  #whole: InterfaceBytes | undefined;

  constructor(options: InterfaceTrafficOptions) {
    this.#options = options;
    this.counters = new PeerCounters(options.now);
  }

  /** Looks at the counters. Throws {@link EngineUnreachable}. */
  sample(): Promise<TrafficReading> {
    return this.inTurn(async () => {
      await this.#observe();
      return this.reading();
    });
  }

  /** Sees to it that the counters were looked at within this time. Throws {@link EngineUnreachable}. */
  lookedAt(withinMs: number): Promise<void> {
    return this.inTurn(async () => {
      if (performance.now() - this.#observedAt > withinMs) await this.#observe();
    });
  }

  /** What was counted when the counters were looked at last. */
  reading(): TrafficReading {
    const { tunnel, interfaceName } = this.#options;
    const counters = [...this.counters.counters()];
    if (this.#whole !== undefined)
      counters.push({ kind: "outbound", name: interfaceName, link: "interface", ...this.#whole });
    return { incarnation: tunnel.incarnation, counters };
  }

  /** Who has a key, or had it until just now. */
  emailOf(publicKey: string): string | undefined {
    return this.#options.ownerOf(publicKey) ?? this.#leaving.get(publicKey);
  }

  /** Nobody has this key any more: it carries nothing, and is to be counted a last time. */
  leave(publicKey: string, email: string): void {
    this.#leaving.set(publicKey, email);
  }

  /** Somebody has this key again. */
  stay(publicKey: string): void {
    this.#leaving.delete(publicKey);
  }

  isLeaving(publicKey: string): boolean {
    return this.#leaving.has(publicKey);
  }

  /** There are peers that are to be taken away. */
  get hasLeaving(): boolean {
    return this.#leaving.size > 0;
  }

  /**
   * Counts those a last time who have gone, and takes their peers away; and counts keys that are about to get another
   * owner. Throws {@link EngineUnreachable}.
   */
  bury(changingHands: readonly string[] = []): Promise<void> {
    return this.inTurn(async () => {
      const gone = [...this.#leaving.keys()].filter((publicKey) => !changingHands.includes(publicKey));
      if (gone.length === 0 && changingHands.length === 0) return;
      const keep = () => this.#options.keep([...this.counters.kept(new Set([...gone, ...changingHands]))]);
      await this.#observe();
      await keep(); // with a peer, what was counted of it goes
      if (gone.length === 0) return;
      const { device } = this.#options.tunnel;
      await reached(device.change(gone.map((publicKey) => ({ publicKey, remove: true }))));
      for (const key of gone) {
        this.#leaving.delete(key);
        this.counters.removed(key);
      }
      await keep(); // should it come back, it is counted from zero
    });
  }

  async #observe(): Promise<void> {
    const { tunnel, interfaceName } = this.#options;
    this.counters.observe(await reached(tunnel.device.read()), (publicKey) => this.emailOf(publicKey));
    this.#whole = readInterfaceBytes(interfaceName) ?? this.#whole;
    this.#observedAt = performance.now();
  }
}
