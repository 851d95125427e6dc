import { isIP } from "node:net";
import type { SubscriptionTerms } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import type { OnlineAddresses } from "../../engines/engine.ts";
import { type Links, ownerIn, readUserName } from "../config/links.ts";

/** From how many addresses subscriptions are connected at a time, and which of them are too many. */
export interface AddressLimits {
  /** The terms of another config hold. */
  replace(terms: Readonly<Record<string, SubscriptionTerms>>, links: Links): void;
  /** Whether it matters where a user of an engine is connected from. */
  isLimited(name: string): boolean;
  /** Limited users are connected from these addresses now, and no others are. True: others are refused than before. */
  seen(addresses: ReadonlyMap<string, OnlineAddresses>): boolean;
  /** Addresses from which a link is not let in. */
  addressesOf(linkUuid: string): readonly string[];
  /** How many addresses are refused; one counts for each subscription that is not let in from there. */
  readonly refused: number;
}

/** An address that is connected. */
interface Place {
  readonly address: string;
  /** When it was first seen, in milliseconds since 1970; later that of one that came later at the same time. */
  readonly since: number;
  /** When its newest connection began, in Unix seconds. */
  readonly newest: number;
  readonly isRefused: boolean;
}

/** An address that has opened no connection for so long leaves its place to one that does. */
const idleSeconds = 60;

/**
 * Makes them. Who came first stays: an address is let in as long as there are no more than the limit that were there
 * before it. One that was let in keeps its place while it opens connections; what is open is never cut.
 *
 * @param now milliseconds since 1970, by this machine's clock, as engines tell the time
 */
export function createAddressLimits(now: () => number): AddressLimits {
  let limits = new Map<number, number>();
  let links: Pick<Links, "owners" | "former"> = { owners: new Map(), former: new Map() };
  let places = new Map<number, readonly Place[]>();
  /** By subscription. */
  let refused: ReadonlyMap<number, readonly string[]> = new Map();

  const subscriptionOf = (linkUuid: string) => ownerIn(links, linkUuid)?.subscriptionId;
  const limitedOf = (name: string): number | undefined => {
    const subscriptionId = subscriptionOf(readUserName(name)?.uuid ?? "");
    return subscriptionId !== undefined && limits.has(subscriptionId) ? subscriptionId : undefined;
  };

  function newestBySubscription(addresses: ReadonlyMap<string, OnlineAddresses>): Map<number, Map<string, number>> {
    const found = new Map<number, Map<string, number>>();
    for (const [name, online] of addresses) {
      const id = limitedOf(name);
      if (id === undefined) continue;
      const newest = found.get(id) ?? new Map<string, number>();
      found.set(id, newest);
      for (const [address, begun] of Object.entries(online))
        if (isIP(address) !== 0) newest.set(address, Math.max(newest.get(address) ?? 0, Number(begun)));
    }
    return found;
  }

  function placesOf(newest: ReadonlyMap<string, number>, before: readonly Place[], most: number): Place[] {
    const at = now();
    const known = new Map(before.map((place) => [place.address, place]));
    const found = [...newest].map(([address, begun]): Place => {
      const place = known.get(address);
      return { address, since: place?.since ?? at, newest: begun, isRefused: place?.isRefused ?? true };
    });
    const rank = (place: Place) =>
      at / 1_000 - place.newest > idleSeconds ? 2 : known.has(place.address) && !place.isRefused ? 0 : 1;
    return found
      .sort((a, b) => rank(a) - rank(b) || a.since - b.since || a.newest - b.newest || (a.address < b.address ? -1 : 1))
      .map((place, index) => ({ ...place, isRefused: index >= most }));
  }

  return {
    replace(terms, of) {
      limits = new Map();
      for (const [id, { maxAddresses }] of Object.entries(terms))
        if (maxAddresses !== undefined && maxAddresses > 0) limits.set(Number(id), maxAddresses);
      links = of;
    },
    isLimited: (name) => limitedOf(name) !== undefined,
    seen(addresses) {
      const next = new Map<number, readonly Place[]>();
      for (const [id, newest] of newestBySubscription(addresses))
        next.set(id, placesOf(newest, places.get(id) ?? [], limits.get(id) ?? 0));
      places = next;
      const before = refused;
      refused = tooManyOf(places);
      return refused.size !== before.size || [...refused].some(([id, all]) => `${all}` !== `${before.get(id)}`);
    },
    addressesOf: (linkUuid) => refused.get(subscriptionOf(linkUuid) ?? 0) ?? [],
    get refused() {
      return [...refused.values()].reduce((count, { length }) => count + length, 0);
    },
  };
}

/** The addresses that are refused, sorted, of those subscriptions that have some. */
function tooManyOf(places: ReadonlyMap<number, readonly Place[]>): Map<number, readonly string[]> {
  const tooMany = new Map<number, readonly string[]>();
  for (const [id, all] of places) {
    const addresses = all.filter(({ isRefused }) => isRefused).map(({ address }) => address);
    if (addresses.length > 0) tooMany.set(id, addresses.sort());
  }
  return tooMany;
}
