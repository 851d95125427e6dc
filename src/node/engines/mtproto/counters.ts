/** What telemt has counted of a user since its process began: both directions, or only their sum. */
export type UserCount =
  | { readonly uplinkBytes: bigint; readonly downlinkBytes: bigint }
  | { readonly totalBytes: bigint };

/** What telemt has counted, as it stood at one moment. */
export interface Sample {
  /** By name. */
  readonly users: ReadonlyMap<string, UserCount>;
  /** Whoever is absent has no counter: never connected, or forgotten since. Else nothing is known of them. */
  readonly complete: boolean;
}

/** Bytes of a user that only grow. */
export interface UserTotal {
  readonly name: string;
  readonly uplinkBytes: bigint;
  readonly downlinkBytes: bigint;
}

/** One process of telemt that is counted. */
export interface CountedProcess {
  /** Takes in a sample of it. They must come in the order in which they were taken. */
  observe(sample: Sample): void;
  /** It has ended: samples that come later are ignored. */
  end(): void;
}

/**
 * Counters of one inbound that only grow, over counters of telemt that do not: they begin at zero in every process, when
 * telemt forgets a user who was idle for a day, and when its runtime is reloaded.
 */
export class Counters {
  readonly #users = new Map<string, Entry>();
  #current: object | undefined;

  /** A process begins, and with it telemt's counters. The one before has ended. */
  begin(): CountedProcess {
    const key = {};
    this.#current = key;
    for (const entry of this.#users.values()) Object.assign(entry, forgotten);
    return {
      observe: (sample) => {
        if (this.#current === key) this.#observe(sample);
      },
      end: () => {
        if (this.#current === key) this.#current = undefined;
      },
    };
  }

  /** Whoever was ever counted. */
  *totals(): Iterable<UserTotal> {
    for (const [name, { up, down }] of this.#users) yield { name, uplinkBytes: up, downlinkBytes: down };
  }

  #observe({ users, complete }: Sample): void {
    for (const [name, count] of users) {
      let entry = this.#users.get(name);
      if (entry === undefined) {
        entry = { up: 0n, down: 0n, ...forgotten };
        this.#users.set(name, entry);
      }
      if ("totalBytes" in count) addTotal(entry, count.totalBytes);
      else addBoth(entry, count.uplinkBytes, count.downlinkBytes);
    }
    if (!complete) return;
    for (const [name, entry] of this.#users) if (!users.has(name)) Object.assign(entry, forgotten);
  }
}

interface Entry {
  up: bigint;
  down: bigint;
  /** How telemt's counters stood when both were read last. */
  seenUp: bigint;
  seenDown: bigint;
  /** What was added since then by their sum alone, the directions being guessed. */
  guessedUp: bigint;
  guessedDown: bigint;
}

const forgotten = { seenUp: 0n, seenDown: 0n, guessedUp: 0n, guessedDown: 0n };

function addBoth(entry: Entry, up: bigint, down: bigint): void {
  if (up < entry.seenUp || down < entry.seenDown || up + down < seenTotal(entry)) Object.assign(entry, forgotten);
  const grown = up + down - seenTotal(entry);
  // The guess may have been wrong by more than what has come since.
  const grownUp = clamp(up - entry.seenUp - entry.guessedUp, grown);
  entry.up += grownUp;
  entry.down += grown - grownUp;
  Object.assign(entry, forgotten, { seenUp: up, seenDown: down });
}

function addTotal(entry: Entry, total: bigint): void {
  if (total < seenTotal(entry)) Object.assign(entry, forgotten);
  const grown = total - seenTotal(entry);
  // In the proportion that the user had so far; nearly all that users do is to receive.
  const known = entry.up + entry.down;
  const grownUp = known === 0n ? 0n : (grown * entry.up) / known;
  entry.up += grownUp;
  entry.down += grown - grownUp;
  entry.guessedUp += grownUp;
  entry.guessedDown += grown - grownUp;
}

function seenTotal({ seenUp, seenDown, guessedUp, guessedDown }: Entry): bigint {
  return seenUp + seenDown + guessedUp + guessedDown;
}

function clamp(value: bigint, max: bigint): bigint {
  return value < 0n ? 0n : value > max ? max : value;
}
