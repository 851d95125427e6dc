import type { RejectedUser } from "../engine.ts";
import type { WireGuardConfig } from "./config.ts";
import { DeviceRefused, type PeerChange, reached } from "./device/device.ts";
import { bringUp, setAddresses } from "./host/network-interface.ts";
import type { SystemTools } from "./host/system-tool.ts";
import type { KeptPlan } from "./kept-plan.ts";
import { InterfaceTraffic, type InterfaceTrafficOptions } from "./traffic.ts";
import type { Tunnel } from "./tunnel.ts";
import type { Peer, PeerDifference, PeerTable } from "./users.ts";

/** Options of {@link LiveInterface}. */
export interface LiveInterfaceOptions extends Pick<InterfaceTrafficOptions, "tunnel" | "now" | "keep"> {
  readonly config: WireGuardConfig;
  /** Who is on it, as far as we know. */
  readonly table: PeerTable;
  readonly tools: SystemTools;
}

/** An interface that stands, with its users. Whoever changes it does so in turn. */
export class LiveInterface {
  readonly tunnel: Tunnel;
  readonly traffic: InterfaceTraffic;
  readonly #tools: SystemTools;
  #config: WireGuardConfig;
  #table: PeerTable;
  /** What the interface holds is not known: some of a change may have been made. */
  #doubtful = false;
  #isConfigUnsure = false;

  constructor({ tunnel, config, table, tools, now, keep }: LiveInterfaceOptions) {
    this.tunnel = tunnel;
    const ownerOf = (publicKey: string) => this.#table.emailOf(publicKey);
    this.traffic = new InterfaceTraffic({ tunnel, interfaceName: config.interfaceName, ownerOf, now, keep });
    this.#config = config;
    this.#table = table;
    this.#tools = tools;
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
      if (email !== undefined) this.traffic.leave(publicKey, email);
    }
    if (!isExact || found.listenPort !== listenPort) await this.tunnel.device.configure(this.#config);
    await this.traffic.bury();
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
   * once; the peer is taken away by {@link InterfaceTraffic.bury}. Returns whom WireGuard refused; throws {@link EngineUnreachable}.
   */
  async apply(differences: readonly PeerDifference[]): Promise<RejectedUser[]> {
    if (this.#doubtful) await this.#makeSo();
    if (differences.length === 0) return [];
    // What a key has carried so far belongs to whoever had it.
    const changingHands = differences.flatMap(({ after }) =>
      after !== undefined && this.#changesHands(after) ? [after.publicKey] : [],
    );
    if (changingHands.length > 0) await this.traffic.bury(changingHands);
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

  #changesHands({ publicKey, email }: Peer): boolean {
    const owner = this.traffic.emailOf(publicKey);
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
      this.traffic.leave(before.publicKey, before.email);
    if (after !== undefined) this.traffic.stay(after.publicKey);
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
    return this.traffic.inTurn(async () => {
      const { peers } = await reached(this.tunnel.device.read());
      const wanted = new Map(Array.from(this.#table.peers(), (peer) => [peer.publicKey, peer]));
      const changes: PeerChange[] = [];
      for (const { publicKey, allowedIps } of peers) {
        const peer = wanted.get(publicKey);
        if (peer === undefined) {
          if (!this.traffic.isLeaving(publicKey)) changes.push({ publicKey, remove: true });
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
