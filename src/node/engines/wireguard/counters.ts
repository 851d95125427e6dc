import type { OnlineAddresses, TrafficCounter } from "../engine.ts";
import { growth } from "../growth.ts";
import type { DeviceState } from "./device/device.ts";

/** What is known of the traffic of one user by one key. */
interface Entry {
  readonly email: string;
  readonly publicKey: string;
  receivedBytes: bigint;
  sentBytes: bigint;
  /** When it was active last, in Unix seconds, and from where. */
  activeAt: number;
  address: string | undefined;
}

/** How the counters of a user by one key stand, beside those of WireGuard that they were read from last. */
export interface KeptCounter {
  readonly email: string;
  readonly publicKey: string;
  readonly receivedBytes: bigint;
  readonly sentBytes: bigint;
  readonly seenReceivedBytes: bigint;
  readonly seenSentBytes: bigint;
}

// WireGuard makes a new handshake every two minutes while there is traffic, and forgets it after three.
const onlineSeconds = 180;

/**
 * Counters that only grow, of everybody who was a peer while an interface stood, over those of WireGuard that go when a
 * peer does.
 */
export class PeerCounters {
  readonly #entries = new Map<string, Entry>();
  readonly #entriesOf = new Map<string, Entry[]>();
  readonly #seen = new Map<string, Seen>();
  readonly #now: () => number;
  /** What the interface counted before it was looked at first may be long ago: it stood before this process. */
  #isLeft = false;

  /** `now` tells the time in Unix milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Takes in how the interface stands. `emailOf` tells who has a key; of a key that nobody has nothing is counted. */
  observe({ peers }: DeviceState, emailOf: (publicKey: string) => string | undefined): void {
    const now = Math.floor(this.#now() / 1_000);
    for (const { publicKey, receivedBytes, sentBytes, lastHandshake, endpoint } of peers) {
      let seen = this.#seen.get(publicKey);
      if (seen === undefined) {
        seen = { ...unseen };
        this.#seen.set(publicKey, seen);
      }
      const received = growth(receivedBytes, seen.receivedBytes);
      const sent = growth(sentBytes, seen.sentBytes);
      const wasHeard = !this.#isLeft && received > 0n;
      seen.receivedBytes = receivedBytes;
      seen.sentBytes = sentBytes;
      const email = emailOf(publicKey);
      if (email === undefined) continue;
      const entry = seen.entry?.email === email ? seen.entry : this.#entryOf(email, publicKey);
      seen.entry = entry;
      entry.receivedBytes += received;
      entry.sentBytes += sent;
      // What is sent to a peer that is gone is no sign of life.
      entry.activeAt = Math.max(entry.activeAt, wasHeard ? now : lastHandshake);
      if (endpoint !== undefined) entry.address = addressOf(endpoint);
    }
    this.#isLeft = false;
  }

  /** A peer was taken from the interface: should it come back, WireGuard counts it from zero. */
  removed(publicKey: string): void {
    this.#seen.delete(publicKey);
  }

  /** How all stand, or those of some keys, so that another process can go on with them. */
  *kept(publicKeys?: ReadonlySet<string>): Iterable<KeptCounter> {
    for (const { email, publicKey, receivedBytes, sentBytes } of this.#entries.values()) {
      if (publicKeys?.has(publicKey) === false) continue;
      const seen = this.#seen.get(publicKey) ?? unseen;
      const [seenReceivedBytes, seenSentBytes] = [seen.receivedBytes, seen.sentBytes];
      yield { email, publicKey, receivedBytes, sentBytes, seenReceivedBytes, seenSentBytes };
    }
  }

  /** Goes on with what another process has kept of the same interface. */
  restore(kept: Iterable<KeptCounter>): void {
    this.#isLeft = true;
    for (const { email, publicKey, receivedBytes, sentBytes, seenReceivedBytes, seenSentBytes } of kept) {
      Object.assign(this.#entryOf(email, publicKey), { receivedBytes, sentBytes });
      this.#seen.set(publicKey, { ...unseen, receivedBytes: seenReceivedBytes, sentBytes: seenSentBytes });
    }
  }

  /** Everybody who was ever counted. */
  *counters(): Iterable<TrafficCounter> {
    for (const { email: name, publicKey: link, receivedBytes, sentBytes } of this.#entries.values()) {
      yield { kind: "user", name, link, uplinkBytes: receivedBytes, downlinkBytes: sentBytes };
    }
  }

  /** Where a user is connected from, and when they were active last; empty for one who is not. */
  online(email: string): OnlineAddresses {
    const since = this.#now() / 1_000 - onlineSeconds;
    return Object.fromEntries(
      (this.#entriesOf.get(email) ?? []).flatMap((entry) =>
        entry.activeAt > since && entry.address !== undefined ? [[entry.address, BigInt(entry.activeAt)]] : [],
      ),
    );
  }

  /** Everybody who is connected. */
  onlineNames(): ReadonlySet<string> {
    const since = this.#now() / 1_000 - onlineSeconds;
    return new Set([...this.#entries.values()].flatMap(({ email, activeAt }) => (activeAt > since ? [email] : [])));
  }

  #entryOf(email: string, publicKey: string): Entry {
    const name = `${publicKey} ${email}`;
    let entry = this.#entries.get(name);
    if (entry === undefined) {
      entry = { email, publicKey, receivedBytes: 0n, sentBytes: 0n, activeAt: 0, address: undefined };
      this.#entries.set(name, entry);
      this.#entriesOf.set(email, [...(this.#entriesOf.get(email) ?? []), entry]);
    }
    return entry;
  }
}

/** How WireGuard's counters of a key stood when they were read last, and whom they were counted for. */
interface Seen {
  receivedBytes: bigint;
  sentBytes: bigint;
  /** Saves looking for it: of a large node all are looked at every few seconds. */
  entry: Entry | undefined;
}

const unseen: Seen = { receivedBytes: 0n, sentBytes: 0n, entry: undefined };

/** The address of `192.0.2.1:51820` or `[2001:db8::1]:51820`. */
function addressOf(endpoint: string): string {
  return endpoint.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
}
