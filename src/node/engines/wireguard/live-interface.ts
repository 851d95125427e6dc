import { createInTurn } from "../../../platform/in-turn.ts";
import type { RejectedUser, TrafficReading } from "../engine.ts";
import { EngineUnreachable } from "../engine-error.ts";
import type { WireGuardConfig } from "./config.ts";
import { type KeptCounter, PeerCounters } from "./counters.ts";
import { DeviceRefused, DeviceUnreachable, type PeerChange } from "./device/device.ts";
import { type InterfaceBytes, readInterfaceBytes } from "./host/interface-bytes.ts";
import { bringUp, setAddresses } from "./host/network-interface.ts";
import type { SystemTools } from "./host/system-tool.ts";
import type { KeptPlan } from "./kept-plan.ts";
import type { Tunnel } from "./tunnel.ts";
import type { Peer, PeerDifference, PeerTable } from "./users.ts";

/** Options of {@link LiveInterface}. */
export interface LiveInterfaceOptions {
  readonly tunnel: Tunnel;
  readonly config: WireGuardConfig;
  /** Who is on it, as far as we know. */
  readonly table: PeerTable;
  readonly tools: SystemTools;
  /** Tells the time in Unix milliseconds. */
  readonly now: () => number;
  /** Told how counters stand that WireGuard itself is about to forget, or to have of somebody else. Never rejects. */
  readonly keep: (counters: readonly KeptCounter[]) => Promise<void>;
}

/** An interface that stands, with its users. Whoever changes it does so in turn. */
export class LiveInterface {
  readonly tunnel: Tunnel;
  readonly counters: PeerCounters;
  readonly #tools: SystemTools;
  readonly #keep: LiveInterfaceOptions["keep"];
  // One look at the counters at a time, and none while peers are being taken away.
  readonly #inTurn = createInTurn();
  // Who had the keys that carry nothing any more, and are still to be counted a last time.
  readonly #leaving = new Map<string, string>();
  #config: WireGuardConfig;
  #table: PeerTable;
  /** What the interface holds is not known: some of a change may have been made. */
  #doubtful = false;
  #isConfigUnsure = false;
  #observedAt = Number.NEGATIVE_INFINITY;
  /** What has gone through the interface altogether, when it was seen last. */
  #whole: InterfaceBytes | undefined;

  constructor({ tunnel, config, table, tools, now, keep }: LiveInterfaceOptions) {
    this.tunnel = tunnel;
    this.counters = new PeerCounters(now);
    this.#config = config;
    this.#table = table;
    this.#tools = tools;
    this.#keep = keep;
  }

  get config(): WireGuardConfig {
    return this.#config;
  }

  /** Some of another config may have been made, and not all of this one be back. */
  get isConfigUnsure(): boolean {
    return this.#isConfigUnsure;
  }

  get table(): PeerTable {
    return this.#table;
  }

  /** Gives the new interface what it is to have, users included, and has it carry packets. Throws what its parts throw. */
  async furnish(): Promise<void> {
    const { interfaceName, addresses } = this.#config;
    await this.tunnel.device.configure(this.#config);
    const peers = [...this.#table.peers()].map((peer) => this.#changeTo(peer));
    await Promise.all([this.tunnel.device.change(peers), setAddresses(interfaceName, addresses, this.#tools)]);
    await bringUp(interfaceName, this.#tools);
  }

  /**
   * Has an interface that another process has left hold what it is to have: what differs, and no more. Key, port and
   * shared key are set where they may be others. Those who have gone, and are still there, are counted a last time.
   * Throws what its parts throw.
   */
  async refurnish({ isExact, leaving }: Pick<KeptPlan, "isExact" | "leaving">): Promise<void> {
    const { interfaceName, addresses, listenPort } = this.#config;
    const found = await this.tunnel.device.read();
    for (const { publicKey } of found.peers) {
      const email = leaving.get(publicKey);
      if (email !== undefined) this.#leaving.set(publicKey, email);
    }
    if (!isExact || found.listenPort !== listenPort) await this.tunnel.device.configure(this.#config);
    await this.bury();
    await this.#makeSo({ isExact });
    await setAddresses(interfaceName, addresses, this.#tools);
    await bringUp(interfaceName, this.#tools);
  }

  /**
   * Changes key, port, addresses and shared key where they are others; after a change that has failed, all of them. Users
   * stay. Throws what its parts throw.
   */
  async changeConfig(config: WireGuardConfig, table: PeerTable): Promise<void> {
    const before = this.#config;
    const isUnsure = this.#isConfigUnsure;
    this.#isConfigUnsure = true;
    // A port that cannot be had has cost the one before.
    if (isUnsure || config.privateKey !== before.privateKey || config.listenPort !== before.listenPort)
      await this.tunnel.device.configure(config);
    await setAddresses(config.interfaceName, config.addresses, this.#tools);
    this.use(config, table);
    if (isUnsure || config.preSharedKey !== before.preSharedKey)
      await this.tunnel.device.change([...table.peers()].map((peer) => this.#changeTo(peer)));
    this.#isConfigUnsure = false;
  }

  /** Goes by another config, which makes the same of the interface, and a table that holds the same. */
  use(config: WireGuardConfig, table: PeerTable): void {
    this.#config = config;
    this.#table = table;
  }

  /**
   * Makes users what they are to be, and notes in the table what became so. A user who goes carries nothing any more at
   * once; the peer is taken away by {@link bury}. Returns whom WireGuard refused; throws {@link EngineUnreachable}.
   */
  async apply(differences: readonly PeerDifference[]): Promise<RejectedUser[]> {
    if (this.#doubtful) await this.#makeSo();
    if (differences.length === 0) return [];
    // What a key has carried so far belongs to whoever had it.
    const changingHands = differences.flatMap(({ after }) =>
      after !== undefined && this.#changesHands(after) ? [after.publicKey] : [],
    );
    if (changingHands.length > 0) await this.bury(changingHands);
    try {
      await this.#change(this.#changesFor(differences));
      for (const difference of differences) this.#settle(difference);
      return [];
    } catch (error) {
      this.#doubtful = true;
      if (!(error instanceof DeviceRefused)) throw error;
    }
    await this.#makeSo();
    const rejected: RejectedUser[] = [];
    for (const difference of differences) {
      const refusal = await this.#applyAlone(difference);
      if (refusal !== undefined) rejected.push(refusal);
    }
    return rejected;
  }

  /** Looks at the counters. Throws {@link EngineUnreachable}. */
  sample(): Promise<TrafficReading> {
    return this.#inTurn(async () => {
      await this.#observe();
      return this.reading();
    });
  }

  /** Sees to it that the counters were looked at within this time. Throws {@link EngineUnreachable}. */
  lookedAt(withinMs: number): Promise<void> {
    return this.#inTurn(async () => {
      if (performance.now() - this.#observedAt > withinMs) await this.#observe();
    });
  }

  /** What was counted when the counters were looked at last. */
  reading(): TrafficReading {
    const { interfaceName } = this.#config;
    const counters = [...this.counters.counters()];
    if (this.#whole !== undefined)
      counters.push({ kind: "outbound", name: interfaceName, link: "interface", ...this.#whole });
    return { incarnation: this.tunnel.incarnation, counters };
  }

  /** There are peers that are to be taken away. */
  get hasLeaving(): boolean {
    return this.#leaving.size > 0;
  }

  /**
   * Counts those a last time who have gone, and takes their peers away; and counts keys that are about to get another
   * owner.
   */
  bury(changingHands: readonly string[] = []): Promise<void> {
    return this.#inTurn(async () => {
      const gone = [...this.#leaving.keys()].filter((publicKey) => !changingHands.includes(publicKey));
      if (gone.length === 0 && changingHands.length === 0) return;
      const keep = () => this.#keep([...this.counters.kept(new Set([...gone, ...changingHands]))]);
      await this.#observe();
      await keep(); // with a peer, what was counted of it goes
      if (gone.length === 0) return;
      await this.#change(gone.map((publicKey) => ({ publicKey, remove: true })));
      for (const key of gone) {
        this.#leaving.delete(key);
        this.counters.removed(key);
      }
      await keep(); // should it come back, it is counted from zero
    });
  }

  /** Who has a key, or had it until just now. */
  readonly #emailOf = (publicKey: string) => this.#table.emailOf(publicKey) ?? this.#leaving.get(publicKey);

  async #observe(): Promise<void> {
    this.counters.observe(await reached(this.tunnel.device.read()), this.#emailOf);
    this.#whole = readInterfaceBytes(this.#config.interfaceName) ?? this.#whole;
    this.#observedAt = performance.now();
  }

  #changesHands({ publicKey, email }: Peer): boolean {
    const owner = this.#emailOf(publicKey);
    return owner !== undefined && owner !== email;
  }

  #changeTo({ publicKey, allowedIps }: Peer): PeerChange {
    return { publicKey, allowedIps, preSharedKey: this.#config.preSharedKey };
  }

  /** Who goes gives up key and ranges before others get them, unless the key is another's by now. */
  #changesFor(differences: readonly PeerDifference[]): PeerChange[] {
    const kept = new Set(differences.flatMap(({ after }) => (after === undefined ? [] : [after.publicKey])));
    const isGivenUp = ({ publicKey, email }: Peer) => !kept.has(publicKey) && this.#table.emailOf(publicKey) === email;
    return [
      ...differences.flatMap(({ before }) =>
        before === undefined || !isGivenUp(before) ? [] : [this.#changeTo({ ...before, allowedIps: [] })],
      ),
      ...differences.flatMap(({ after }) => (after === undefined ? [] : [this.#changeTo(after)])),
    ];
  }

  #settle(difference: PeerDifference): void {
    const { before, after } = difference;
    this.#table.settle(difference);
    // The key may be another's by now.
    if (before !== undefined && this.#table.emailOf(before.publicKey) === undefined)
      this.#leaving.set(before.publicKey, before.email);
    if (after !== undefined) this.#leaving.delete(after.publicKey);
  }

  async #applyAlone(difference: PeerDifference): Promise<RejectedUser | undefined> {
    try {
      await this.#change(this.#changesFor([difference]));
      this.#settle(difference);
      return undefined;
    } catch (error) {
      this.#doubtful = true;
      if (!(error instanceof DeviceRefused)) throw error;
      await this.#makeSo();
      const email = (difference.after ?? difference.before)?.email ?? "";
      return { email, inbound: this.#config.interfaceName, reason: error.message };
    }
  }

  /** Has the interface hold what the table has, and nothing else: what differs, and no more where it is `isExact`. */
  #makeSo({ isExact } = { isExact: true }): Promise<void> {
    return this.#inTurn(async () => {
      const { peers } = await reached(this.tunnel.device.read());
      const wanted = new Map(Array.from(this.#table.peers(), (peer) => [peer.publicKey, peer]));
      const changes: PeerChange[] = [];
      for (const { publicKey, allowedIps } of peers) {
        const peer = wanted.get(publicKey);
        if (peer === undefined) {
          if (!this.#leaving.has(publicKey)) changes.push({ publicKey, remove: true });
        } else if (isExact && [...allowedIps].sort().join() === [...peer.allowedIps].sort().join())
          wanted.delete(publicKey);
      }
      await this.#change([...changes, ...Array.from(wanted.values(), (peer) => this.#changeTo(peer))]);
      this.#doubtful = false;
    });
  }

  async #change(changes: readonly PeerChange[]): Promise<void> {
    if (changes.length > 0) await reached(this.tunnel.device.change(changes));
  }
}

/** What a device answers. Throws {@link EngineUnreachable} when it does not. */
async function reached<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof DeviceUnreachable) throw new EngineUnreachable(error.message, { cause: error });
    throw error;
  }
}
