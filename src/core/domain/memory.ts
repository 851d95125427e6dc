import { remainingMs } from "../../platform/remaining.ts";

/** Options of {@link createMemory}. */
export interface MemoryOptions<V> {
  /** Finds what is asked for; undefined where there is nothing. */
  load: (key: string) => Promise<V | undefined>;
  /** How long something is remembered, in milliseconds: the bound on how long a change may go unnoticed. */
  ttlMs: number;
  /** How much is remembered at most; past that the oldest is forgotten. */
  capacity: number;
  /** In milliseconds. */
  now: () => number;
}

/** What was found a short while ago. That nothing was found is not remembered. */
export interface Memory<V> {
  /** At once where it is remembered. */
  get(key: string): V | Promise<V | undefined>;
  /** Forgets what has changed, by default everything; and whatever is being looked for now will not be remembered. */
  forget(hasChanged?: (value: V) => boolean): void;
}

/** Remembers, for a short while, what is costly to find. Who asks for the same at the same time waits for one answer. */
export function createMemory<V>({ load, ttlMs, capacity, now }: MemoryOptions<V>): Memory<V> {
  const known = new Map<string, { readonly value: V; readonly until: number }>();
  let sought = new Map<string, Promise<V | undefined>>();

  function seek(key: string): Promise<V | undefined> {
    const seeking = sought;
    const pending = load(key)
      .then((value) => {
        // What was forgotten meanwhile may have changed after it was read.
        if (value !== undefined && seeking === sought) remember(key, value);
        return value;
      })
      .finally(() => seeking.delete(key));
    seeking.set(key, pending);
    return pending;
  }

  function remember(key: string, value: V): void {
    known.delete(key); // to the end of the order in which it is forgotten
    known.set(key, { value, until: now() + ttlMs });
    if (known.size <= capacity) return;
    for (const oldest of known.keys()) {
      known.delete(oldest);
      return;
    }
  }

  return {
    get(key) {
      const found = known.get(key);
      if (found !== undefined && remainingMs(found.until, now(), ttlMs) > 0) return found.value;
      return sought.get(key) ?? seek(key);
    },
    forget(hasChanged = () => true) {
      for (const [key, { value }] of known) if (hasChanged(value)) known.delete(key);
      sought = new Map();
    },
  };
}
