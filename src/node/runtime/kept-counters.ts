import { inParts } from "../../platform/files/in-parts.ts";
import { Journal } from "../../platform/files/journal.ts";
import type { Incarnation, TrafficKind } from "../engines/engine.ts";
import type { CounterState, CountersState } from "./virtual-counters.ts";

/** Keeps on disk how counters stand, so that another process of this node goes on with them. */
export interface CounterKeeper {
  /** How they were left. */
  readonly initial: CountersState;
  /** Notes how some counters stand now; the others are as they were. `all` tells how all stand. */
  note(changed: CountersState, all: () => CountersState): void;
  /** Resolves when another process would find all that was noted so far. */
  noted(): Promise<void>;
  /** Notes how all stand. Resolves when it is on disk. */
  close(all: CountersState): Promise<void>;
}

/**
 * Opens what is kept at a path, whose directory exists. When it cannot be written, that is told, and nothing is kept: a
 * process that goes on with the engine reports again what was read before then, rather than nothing of it.
 */
export async function openCounterKeeper(path: string, tell: (problem: unknown) => void): Promise<CounterKeeper> {
  const { journal, records } = await Journal.open(path);
  let initial: CountersState = { incarnation: undefined, counters: [] };
  try {
    initial = parse(records) ?? initial;
  } catch (error) {
    tell(error);
    await journal.erase();
  }
  let { incarnation } = initial;
  let last: Promise<void> = Promise.resolve();
  const inTurn = (write: () => Promise<void>) => {
    last = last.then(write).catch(async (error: unknown) => {
      tell(error);
      await journal.erase().catch(() => undefined); // the next write fails, too, and is told
    });
    return last;
  };
  const writeAll = async (all: CountersState) => {
    await (await journal.draft(recordsOf(all))).commit();
    incarnation = all.incarnation;
  };
  return {
    initial,
    note: (changed, all) =>
      void inTurn(async () => {
        const isContinued = journal.hasBase && incarnation === changed.incarnation && !journal.isOvergrown;
        if (isContinued) await journal.append(...countersText(changed.counters));
        else await writeAll(all());
      }),
    noted: () => last,
    async close(all) {
      await inTurn(() => writeAll(all));
      await journal.close();
    },
  };
}

const format = 1;

interface KeptHead {
  readonly format: typeof format;
  readonly incarnation?: Incarnation | undefined;
}

type KeptCounter = readonly [
  kind: TrafficKind,
  name: string,
  link: string,
  live: boolean,
  seenUp: string,
  seenDown: string,
  unreadUp: string,
  unreadDown: string,
];

function* recordsOf({ incarnation, counters }: CountersState): Iterable<string> {
  const head: KeptHead = { format, incarnation };
  yield JSON.stringify(head);
  yield* countersText(counters);
}

function* countersText(counters: Iterable<CounterState>): Iterable<string> {
  for (const part of inParts(counters)) yield JSON.stringify(part.map(keptCounter));
}

function keptCounter({ kind, name, link, live, seenUp, seenDown, unreadUp, unreadDown }: CounterState): KeptCounter {
  return [kind, name, link, live, `${seenUp}`, `${seenDown}`, `${unreadUp}`, `${unreadDown}`];
}

/** Of a counter that was noted more than once, the last counts. */
function parse([first, ...rest]: readonly string[]): CountersState | undefined {
  if (first === undefined) return undefined;
  const head: KeptHead = JSON.parse(first);
  if (head.format !== format) throw new Error(`kept counters are of format ${head.format}`);
  const counters = new Map<string, CounterState>();
  for (const text of rest) {
    const some: KeptCounter[] = JSON.parse(text);
    for (const [kind, name, link, live, seenUp, seenDown, unreadUp, unreadDown] of some) {
      counters.set(JSON.stringify([kind, name, link]), {
        ...{ kind, name, link, live },
        ...{ seenUp: BigInt(seenUp), seenDown: BigInt(seenDown) },
        ...{ unreadUp: BigInt(unreadUp), unreadDown: BigInt(unreadDown) },
      });
    }
  }
  return { incarnation: head.incarnation, counters: [...counters.values()] };
}
