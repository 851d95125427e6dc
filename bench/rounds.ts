/** Something that is measured: more is better. */
export type Measurement = () => Promise<number>;

/** The middle of some numbers; of two middle ones the higher. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/**
 * Measures contenders in turns, so that what else the machine does hits all alike. The first turn warms up and is not
 * counted. Returns the values of each contender, a value per round.
 */
export async function inTurns(
  contenders: ReadonlyMap<string, Measurement>,
  rounds: number,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const values = new Map<string, number[]>([...contenders.keys()].map((name) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [name, measure] of contenders) {
      const value = await measure();
      if (round > 0) values.get(name)?.push(value);
    }
  }
  return values;
}
