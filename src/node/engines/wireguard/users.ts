import type { User } from "../../../../gen/service/node_pb.ts";
import type { RejectedUser, SkippedUser } from "../engine.ts";
import { createPause } from "../pause.ts";
import { type Cidr, isWithin, readCidr } from "./cidr.ts";
import { canonicalKey } from "./device/keys.ts";

/** A user on the interface. */
export interface Peer {
  readonly email: string;
  /** Base64. */
  readonly publicKey: string;
  /** Canonical ranges within those of the interface, at least one, each once. */
  readonly allowedIps: readonly string[];
  /** The user's own words for key and addresses. */
  readonly asked: string;
}

/** What one user has to become on the interface. */
export interface PeerDifference {
  readonly before: Peer | undefined;
  readonly after: Peer | undefined;
}

/** What has to change, and which users cannot have what they ask for. */
export interface PeersDiff {
  readonly differences: readonly PeerDifference[];
  /** Who is set now and was not before, or the other way round, whether they have a peer or not. */
  readonly comeAndGone: ReadonlySet<string>;
  readonly skipped: readonly SkippedUser[];
  readonly rejected: readonly RejectedUser[];
}

/** The interface as far as users are concerned. */
export interface PeerInterface {
  /** The tag that users ask for. */
  readonly interfaceName: string;
  readonly addresses: readonly Cidr[];
  /** Its own, base64. WireGuard passes over a peer that has the same, without a word. */
  readonly publicKey: string;
}

/** The users of one interface: what it holds as far as we know. */
export class PeerTable {
  readonly #interface: PeerInterface;
  readonly #peers = new Map<string, Peer>();
  /** Who has which keys and ranges. */
  readonly #owners = new Map<string, string>();
  #emails = new Set<string>();

  constructor(peerInterface: PeerInterface) {
    this.#interface = peerInterface;
  }

  /**
   * A table for another interface that holds what another one holds. Who asks for the same as before is looked at anew
   * where the addresses or the key are others.
   */
  static succeeding(before: PeerTable, peerInterface: PeerInterface): PeerTable {
    const table = new PeerTable(peerInterface);
    const essence = ({ addresses, publicKey }: PeerInterface) => `${publicKey} ${addresses.map(({ range }) => range)}`;
    const isSame = essence(before.#interface) === essence(peerInterface);
    for (const peer of before.peers())
      table.settle({ before: undefined, after: isSame ? peer : { ...peer, asked: "" } });
    table.#emails = new Set(before.#emails);
    return table;
  }

  /** A table that holds these users, whatever they ask for, and their peers. */
  static holding(
    peerInterface: PeerInterface,
    users: Iterable<{ readonly email: string; readonly peer: Peer | undefined }>,
  ): PeerTable {
    const table = new PeerTable(peerInterface);
    for (const { email, peer } of users) {
      table.#emails.add(email);
      if (peer !== undefined) table.settle({ before: undefined, after: peer });
    }
    return table;
  }

  /** Whether this user was set and not removed since, on whatever inbounds. */
  has(email: string): boolean {
    return this.#emails.has(email);
  }

  /** The users of the interface. */
  peers(): Iterable<Peer> {
    return this.#peers.values();
  }

  /** The peer of a user, if they have one. */
  peerOf(email: string): Peer | undefined {
    return this.#peers.get(email);
  }

  /** Who was set and not removed since. */
  emails(): Iterable<string> {
    return this.#emails;
  }

  /** The user of a key. */
  emailOf(publicKey: string): string | undefined {
    return this.#owners.get(publicKey);
  }

  /**
   * What has to change so that these users are as they ask to be and, with `replace`, no others are left. A key or an
   * address that another user has is refused, and whoever asks for it stays as they are. Remembers who the users are;
   * their peers are remembered as the differences are settled. Of many users it takes a while, in which others have
   * their turn; nothing may use the table meanwhile.
   */
  async diff(users: readonly User[], replace: boolean): Promise<PeersDiff> {
    const pause = createPause();
    const skipped: SkippedUser[] = [];
    const wanted = new Map<string, Peer | undefined>();
    for (const user of users) {
      const turn = pause();
      if (turn !== undefined) await turn;
      const peer = this.#peerOf(user);
      // The last of those with one e-mail counts, also for its place among the others.
      wanted.delete(user.email);
      if (typeof peer === "string") {
        skipped.push({ email: user.email, inbound: this.#interface.interfaceName, reason: peer });
        wanted.set(user.email, undefined);
      } else wanted.set(user.email, peer);
    }
    if (replace) for (const email of this.#peers.keys()) if (!wanted.has(email)) wanted.set(email, undefined);
    // Of a large node most are not looked at when one changes.
    const wasSet = new Map<string, boolean>(replace ? Array.from(this.#emails, (email) => [email, true]) : []);
    if (replace) this.#emails = new Set();
    for (const { email, inbounds } of users) {
      if (!wasSet.has(email)) wasSet.set(email, this.#emails.has(email));
      if (inbounds.length > 0) this.#emails.add(email);
      else this.#emails.delete(email);
    }
    const rejected = this.#refuseTaken(wanted);
    const differences = [...wanted].flatMap(([email, after]) => {
      const before = this.#peers.get(email);
      return before === after || rejected.has(email) ? [] : [{ before, after }];
    });
    const comeAndGone = new Set(
      [...wasSet].flatMap(([email, was]) => (was === this.#emails.has(email) ? [] : [email])),
    );
    return { differences, comeAndGone, skipped, rejected: [...rejected.values()] };
  }

  /** The interface now holds this. */
  settle({ before, after }: PeerDifference): void {
    if (before !== undefined) {
      this.#peers.delete(before.email);
      for (const held of heldBy(before)) if (this.#owners.get(held) === before.email) this.#owners.delete(held);
    }
    if (after !== undefined) {
      this.#peers.set(after.email, after);
      for (const held of heldBy(after)) this.#owners.set(held, after.email);
    }
  }

  /** The peer that a user asks for, if any; the same object where nothing has changed. Or why there can be none. */
  #peerOf({ email, inbounds, proxies }: User): Peer | undefined | string {
    if (!inbounds.includes(this.#interface.interfaceName)) return undefined;
    const { publicKey: key = "", peerIps = [] } = proxies?.wireguard ?? {};
    const asked = `${key}\n${peerIps.join("\n")}`;
    const known = this.#peers.get(email);
    if (known?.asked === asked) return known;
    if (email === "") return "no e-mail";
    if (key === "") return "no wireguard public key";
    const publicKey = canonicalKey(key);
    if (publicKey === undefined) return "wireguard public key is not 32 bytes in base64";
    if (publicKey === this.#interface.publicKey) return "wireguard public key is the node's own";
    if (peerIps.length === 0) return "no wireguard peer IP";
    const ranges = peerIps.map((text) => readCidr(text.trim()));
    if (ranges.some((range) => range === undefined)) return "wireguard peer IP is no CIDR";
    const inside = ranges.flatMap((range) => (range !== undefined && this.#mayHave(range) ? [range.range] : []));
    if (inside.length === 0) return "wireguard peer IPs are outside of the interface's addresses";
    const allowedIps = [...new Set(inside)];
    if (known === undefined || known.publicKey !== publicKey || known.allowedIps.join() !== allowedIps.join())
      return { email, publicKey, allowedIps, asked };
    // The same in other words.
    const same = { ...known, asked };
    this.#peers.set(email, same);
    return same;
  }

  #mayHave(range: Cidr): boolean {
    return this.#interface.addresses.some((address) => isWithin(range, address));
  }

  /**
   * Finds those who ask for what another user has or asks for first. Whoever is refused keeps what they have, which then
   * nobody else can get: who was to get it is refused as well.
   */
  #refuseTaken(wanted: ReadonlyMap<string, Peer | undefined>): Map<string, RejectedUser> {
    const rejected = new Map<string, RejectedUser>();
    const claimed = new Map<string, string>();
    const isChanged = (email: string) =>
      wanted.has(email) && wanted.get(email) !== this.#peers.get(email) && !rejected.has(email);
    const ownerOf = (held: string) => {
      const owner = this.#owners.get(held);
      return owner !== undefined && !isChanged(owner) ? owner : claimed.get(held);
    };
    const refuse = (peer: Peer, reason: string) => {
      rejected.set(peer.email, { email: peer.email, inbound: this.#interface.interfaceName, reason });
      for (const held of heldBy(peer)) if (claimed.get(held) === peer.email) claimed.delete(held);
    };
    for (const peer of wanted.values()) {
      if (peer === undefined || !isChanged(peer.email)) continue;
      const reason = whyTaken(peer, ownerOf);
      if (reason === undefined) {
        for (const held of heldBy(peer)) claimed.set(held, peer.email);
        continue;
      }
      refuse(peer, reason);
      const refused = [peer.email];
      for (const email of refused) {
        const kept = this.#peers.get(email);
        for (const held of kept === undefined ? [] : heldBy(kept)) {
          const claimant = wanted.get(claimed.get(held) ?? "");
          const why = claimant && whyTaken(claimant, ownerOf);
          if (claimant === undefined || why === undefined) continue;
          refuse(claimant, why);
          refused.push(claimant.email);
        }
      }
    }
    return rejected;
  }
}

/** What nobody else can have. */
function heldBy({ publicKey, allowedIps }: Peer): readonly string[] {
  return [publicKey, ...allowedIps];
}

/** Who has one of a peer's key and ranges already, in words. */
function whyTaken(
  { email, publicKey, allowedIps }: Peer,
  ownerOf: (held: string) => string | undefined,
): string | undefined {
  const keyOwner = ownerOf(publicKey);
  if (keyOwner !== undefined) return `wireguard public key of user ${email} is already assigned to user ${keyOwner}`;
  for (const range of allowedIps) {
    const owner = ownerOf(range);
    if (owner !== undefined) return `duplicate wireguard allowed IP ${range} of users ${owner} and ${email}`;
  }
  return undefined;
}
