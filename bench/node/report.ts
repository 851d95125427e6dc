/** One line of what was measured. */
export interface Finding {
  readonly about: string;
  readonly value: number;
  readonly unit: "ms" | "MiB" | "bytes" | "calls" | "calls/s" | "%" | "connections" | "counters";
  /** What the value must not exceed. */
  readonly atMost?: number;
  /** What the value must reach. */
  readonly atLeast?: number;
  /** The same thing done another way, in the same run: the ratio to it is printed. */
  readonly reference?: { readonly about: string; readonly value: number };
}

/** Prints a finding. One that misses its target makes the run fail. */
export function report({ about, value, unit, atMost, atLeast, reference }: Finding): void {
  const missed = (atMost !== undefined && !(value <= atMost)) || (atLeast !== undefined && !(value >= atLeast));
  if (missed) process.exitCode = 1;
  const bound = atMost !== undefined ? `at most ${atMost}` : atLeast !== undefined ? `at least ${atLeast}` : "";
  const verdict = bound === "" ? "" : `  target ${bound}  ${missed ? "MISSED" : "held"}`;
  const ratio = reference === undefined ? "" : `  ${(value / reference.value).toFixed(2)} of ${reference.about}`;
  console.log(`${about.padEnd(80)}${rounded(value).padStart(10)} ${unit}${ratio}${verdict}`);
}

function rounded(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 });
}

/** Milliseconds that some work takes, and what it returns. */
export async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  const startedAt = performance.now();
  const result = await work();
  return { ms: performance.now() - startedAt, result };
}
