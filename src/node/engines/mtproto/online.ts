import type { OnlineAddresses } from "../engine.ts";

/**
 * Since when users are connected from an address. telemt does not tell: it is when the address was seen for the first
 * time. `now` tells the time in Unix milliseconds.
 */
export function createOnlineTimes(
  now: () => number,
): (active: ReadonlyMap<string, readonly string[]>) => ReadonlyMap<string, OnlineAddresses> {
  let seen: ReadonlyMap<string, OnlineAddresses> = new Map();
  return (active) => {
    const seconds = BigInt(Math.floor(now() / 1_000));
    const online = new Map<string, OnlineAddresses>();
    for (const [name, addresses] of active) {
      const before = seen.get(name);
      online.set(name, Object.fromEntries(addresses.map((address) => [address, before?.[address] ?? seconds])));
    }
    seen = online;
    return online;
  };
}
