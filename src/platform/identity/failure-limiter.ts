/** Options of {@link createFailureLimiter}. */
export interface FailureLimiterOptions {
  /** Failures that a network may have at once. */
  burst: number;
  /** Milliseconds after which one more failure is forgiven. */
  forgiveMs: number;
  /** Networks that are remembered; past that the one that failed longest ago is forgotten. */
  capacity: number;
  /** Milliseconds that only grow. */
  now: () => number;
}

/** Counts what failed, by the network it came from. Whatever succeeds is no business of it. */
export interface FailureLimiter {
  /**
   * Notes a failure. Returns 0 while the network has failures left, else the milliseconds after which it has one again.
   */
  fail(address: string): number;
}

/**
 * A token bucket for each network: an IPv4 address, or the /64 of an IPv6 one, of which a single host owns as many
 * addresses as it likes. An attempt past the limit costs nothing further, so that steady failures are not shut out
 * for longer and longer.
 */
export function createFailureLimiter(options: FailureLimiterOptions): FailureLimiter {
  const { burst, forgiveMs, capacity, now } = options;
  // When the bucket of a network is full again: the whole state of a token bucket in one number.
  const fullAt = new Map<string, number>();
  return {
    fail(address) {
      const network = networkOf(address);
      const at = now();
      const known = fullAt.get(network) ?? at;
      // No more is to be forgiven than there can be, also where the clock was set back.
      const full = Math.min(known, at + burst * forgiveMs);
      if (full < known) fullAt.set(network, full);
      const next = Math.max(full, at) + forgiveMs;
      const excess = next - at - burst * forgiveMs;
      if (excess > 0) return excess;
      fullAt.delete(network); // to the end of the order in which the map forgets
      fullAt.set(network, next);
      if (fullAt.size > capacity) forgetOldest(fullAt);
      return 0;
    },
  };
}

/** The network that an address is counted under: itself for IPv4, the first 64 bits for IPv6. */
export function networkOf(address: string): string {
  if (!address.includes(":")) return address;
  const [left = [], right = []] = address
    .replace(/%.*$/, "")
    .toLowerCase()
    .split("::")
    .map((half) => half.split(":").filter((group) => group !== ""));
  const zeros: string[] = Array(Math.max(0, 8 - left.length - right.length)).fill("0");
  const groups = [...left, ...zeros, ...right].slice(0, 4);
  return `${groups.map((group) => group.replace(/^0+(?=.)/, "")).join(":")}::/64`;
}

function forgetOldest(map: Map<string, unknown>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}
