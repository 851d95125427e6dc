import type { Endpoint } from "../endpoint.ts";

/** Writes endpoints one by one, and tells which ones could not be, for which `write` gives undefined. */
export function express<T>(
  endpoints: readonly Endpoint[],
  write: (endpoint: Endpoint) => T | undefined,
): { written: [Endpoint, T][]; leftOut: Endpoint[] } {
  const written: [Endpoint, T][] = [];
  const leftOut: Endpoint[] = [];
  for (const endpoint of endpoints) {
    const one = write(endpoint);
    if (one === undefined) leftOut.push(endpoint);
    else written.push([endpoint, one]);
  }
  return { written, leftOut };
}

/** The names of those among which a program may choose by itself: without draining ones, unless there are no others. */
export function namesToChooseFrom(endpoints: readonly Endpoint[]): string[] {
  const staying = endpoints.filter(({ draining }) => !draining);
  return (staying.length > 0 ? staying : endpoints).map(({ name }) => name);
}
