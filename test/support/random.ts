/** Numbers that follow from a seed. */
export interface Random {
  /** A whole number from 0 up to, and without, the limit. */
  below(limit: number): number;
  /** One of these; undefined when there are none. */
  of<T>(values: readonly T[]): T | undefined;
  /** Numbers of their own, which follow from these. */
  fork(): Random;
}

/** Makes numbers from a seed: mulberry32, of which 32 bits are the whole state. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
  const below = (limit: number) => next() % limit;
  return { below, of: (values) => values[below(Math.max(1, values.length))], fork: () => createRandom(next()) };
}
