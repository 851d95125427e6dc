/** Options of {@link createLogRing}. */
export interface LogRingOptions {
  /** How many of the last lines are kept. Default: 10,000. */
  maxLines?: number;
  /** How many bytes they may have together; the last line is kept however long it is. Default: 8 MiB. */
  maxBytes?: number;
}

/** The last lines of a log, for any number of viewers who each read at their own pace. */
export interface LogRing {
  /** Adds a line, given without its end. */
  push(line: string): void;
  /**
   * The lines that are kept now, then every new one, until `signal` aborts or {@link end} is called; both end it without
   * an error. A viewer that is so slow that the ring has dropped lines which it has not read gets one line instead
   * that says how many.
   */
  follow(signal: AbortSignal): AsyncIterableIterator<string>;
  /** What was written has ended: each viewer gets what is left for it and is done. Later ones see the lines that are kept. */
  end(): void;
}

/** Makes an empty ring. A viewer costs a number in it, and no copies of lines. */
export function createLogRing({ maxLines = 10_000, maxBytes = 8 << 20 }: LogRingOptions = {}): LogRing {
  // Line number n, counted from the first that was ever pushed, is in place n % maxLines.
  const lines = new Array<string>(maxLines).fill("");
  const sizes = new Uint32Array(maxLines);
  let first = 0;
  let next = 0;
  let bytes = 0;
  const waiting = new Set<() => void>();
  /** What viewers who came until now follow; `endsAt` is the number of the first line that is no longer theirs. */
  let run = { endsAt: Number.POSITIVE_INFINITY };

  const dropFirst = () => {
    lines[first % maxLines] = "";
    bytes -= sizes[first % maxLines] ?? 0;
    first += 1;
  };
  const wakeAll = () => {
    for (const wake of waiting) wake();
  };

  async function* read(signal: AbortSignal, followed: typeof run): AsyncGenerator<string, void> {
    let at = first;
    while (!signal.aborted) {
      const end = Math.min(next, followed.endsAt);
      const lost = Math.min(first, end) - at;
      if (lost > 0) {
        at += lost;
        yield `[garrison] ${lost} ${lost === 1 ? "line was" : "lines were"} lost: this viewer reads too slowly`;
      } else if (at < end) {
        at += 1;
        yield lines[(at - 1) % maxLines] ?? "";
      } else if (at >= followed.endsAt) {
        return;
      } else {
        await somethingNew(signal);
      }
    }
  }

  const somethingNew = (signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      const wake = () => {
        signal.removeEventListener("abort", wake);
        waiting.delete(wake);
        resolve();
      };
      signal.addEventListener("abort", wake);
      waiting.add(wake);
    });

  return {
    push(line) {
      const size = Buffer.byteLength(line);
      if (next - first === maxLines) dropFirst();
      while (first < next && bytes + size > maxBytes) dropFirst();
      lines[next % maxLines] = line;
      sizes[next % maxLines] = size;
      bytes += size;
      next += 1;
      wakeAll();
    },
    follow: (signal) => read(signal, run),
    end() {
      run.endsAt = next;
      run = { endsAt: Number.POSITIVE_INFINITY };
      wakeAll();
    },
  };
}
