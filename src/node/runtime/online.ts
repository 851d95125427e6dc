import type { OnlineAddresses } from "../engines/engine.ts";

/** Where one user is connected from by what several engines tell; the newest time of each address. Undefined: none knows. */
export function mergedOnline(seen: readonly (OnlineAddresses | undefined)[]): OnlineAddresses | undefined {
  const known = seen.filter((addresses) => addresses !== undefined);
  if (known.length <= 1) return known[0];
  const merged: Record<string, bigint> = {};
  for (const [address, since] of known.flatMap((addresses) => Object.entries(addresses))) {
    const before = merged[address];
    if (before === undefined || since > before) merged[address] = since;
  }
  return merged;
}
