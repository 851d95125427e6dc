// Clients choose the authority: the cache must not grow with what they send.
const cachedMax = 256;

/**
 * Makes the lookup of the origin that a request was sent to, as `URL` writes it. Undefined for a missing or odd
 * authority. Parsing a URL per call costs more than a small cache.
 */
export function createOrigins(): (scheme: string | undefined, authority: string | undefined) => string | undefined {
  const known = new Map<string, string | undefined>();
  return (scheme, authority) => {
    if (authority === undefined || (scheme !== "http" && scheme !== "https")) return undefined;
    const base = `${scheme}://${authority}`;
    if (known.has(base)) return known.get(base);
    const url = URL.parse(base);
    const origin = url !== null && url.href === `${url.origin}/` ? url.origin : undefined;
    if (known.size === cachedMax) known.clear();
    known.set(base, origin);
    return origin;
  };
}
