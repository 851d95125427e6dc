/** Something that is measured: more is better. */
export type Measurement = () => Promise<number>;

/** Two contenders, measured in one run. */
export interface Comparison {
  readonly ours: number;
  readonly theirs: number;
  /** The middle one of the rounds' ratios: not the ratio of the two above, which may come from different rounds. */
  readonly ratio: number;
}

/** The middle of some numbers; of two middle ones the higher. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The smallest of some numbers that this share of them does not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/**
 * Measures two contenders in turns, and compares within each round: what else the machine does may double from one minute
 * to the next, but hits neighbours alike. Who is first changes from round to round. The first turns of each warm up, until
 * code is compiled, and are not counted.
 */
export async function compare(
  ours: Measurement,
  theirs: Measurement,
  { warmUps, rounds }: { warmUps: number; rounds: number },
): Promise<Comparison> {
  for (let count = 0; count < warmUps; count += 1) {
    await ours();
    await theirs();
  }
  const measured: { ours: number; theirs: number }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    if (round % 2 === 0) measured.push({ ours: await ours(), theirs: await theirs() });
    else {
      const second = await theirs();
      measured.push({ ours: await ours(), theirs: second });
    }
  }
  return {
    ours: median(measured.map((each) => each.ours)),
    theirs: median(measured.map((each) => each.theirs)),
    ratio: median(measured.map((each) => each.ours / each.theirs)),
  };
}
