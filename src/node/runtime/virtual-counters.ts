import type { Incarnation, TrafficCounter, TrafficKind, TrafficReading } from "../engines/engine.ts";
import { growth } from "../engines/growth.ts";

/**
 * Counters that callers may reset, over counters of the engine that are never reset. All callers share them. Who wants a
 * reset of its own makes counters of its own, and has them observe the same readings.
 */
export interface VirtualCounters {
  /** Takes in a reading. Of one incarnation and kind they must come in the order in which they were taken. */
  observe(reading: TrafficReading): void;
  /** Takes in the last reading of an incarnation. One that comes after it was taken before it, and is ignored. */
  observeLast(reading: TrafficReading): void;
  /** Bytes that no reset has taken, of one name or of all. Empty for a name that was never counted. */
  read(kind: TrafficKind, name?: string): TrafficCounter[];
  /** Like {@link read}, and the bytes are taken out: nobody reads them again unless they are given back. */
  take(kind: TrafficKind, name?: string): TakenTraffic;
  /** There are bytes of this name that were not read for good yet: no reset has taken them, or it may give them back. */
  hasUnread(kind: TrafficKind, name: string): boolean;
  /** How they stand: what another process needs to go on with them. Bytes on their way count as unread. */
  state(): CountersState;
}

/** How counters stand. */
export interface CountersState {
  /** Whose counters were seen last. */
  readonly incarnation: Incarnation | undefined;
  readonly counters: Iterable<CounterState>;
}

/** How the counters of one name and link stand. */
export interface CounterState {
  readonly kind: TrafficKind;
  readonly name: string;
  readonly link: string;
  /** The incarnation counts it. */
  readonly live: boolean;
  /** What the incarnation had counted when it was read last. */
  readonly seenUp: bigint;
  readonly seenDown: bigint;
  /** What no reset has taken for good. */
  readonly unreadUp: bigint;
  readonly unreadDown: bigint;
}

/** Options of {@link createVirtualCounters}. */
export interface VirtualCountersOptions {
  /** How another process left them. */
  readonly initial?: CountersState | undefined;
  /**
   * Told how counters stand now of which bytes were read for good, and all when an incarnation has ended: what can no
   * longer be learnt from the engine. Must not throw, and returns at once.
   */
  readonly changed?: ((changed: CountersState) => void) | undefined;
}

/** Bytes on their way to a caller. Of the two ends only the first that is called counts; without one they stay on their way. */
export interface TakenTraffic {
  readonly counters: TrafficCounter[];
  /** They have arrived: the reset has taken effect. */
  confirm(): void;
  /** They have not: the next reading has them again, together with what was counted since. */
  giveBack(): void;
}

/**
 * Makes counters that start empty. They outlive the engine's incarnations: of each, what grew between readings is
 * added, so that a restart of the engine neither takes away nor repeats what was read before it.
 */
export function createVirtualCounters({ initial, changed }: VirtualCountersOptions = {}): VirtualCounters {
  const ledgers: Record<TrafficKind, Ledger> = { user: new Map(), inbound: new Map(), outbound: new Map() };
  let current: Incarnation | undefined = initial?.incarnation;
  for (const counter of initial?.counters ?? []) restore(ledgers[counter.kind], counter);
  let ended: readonly Incarnation[] = [];

  const state = () => ({
    incarnation: current,
    counters: Object.values(ledgers).flatMap((ledger) => entriesOf(ledger).map(stateOf)),
  });
  const endCurrent = () => {
    if (current === undefined) return;
    ended = [current, ...ended].slice(0, endedRemembered);
    current = undefined;
    for (const ledger of Object.values(ledgers)) for (const entry of entriesOf(ledger)) endIncarnation(ledger, entry);
    changed?.(state());
  };
  const observe = ({ incarnation, counters }: TrafficReading) => {
    if (ended.includes(incarnation)) return;
    if (incarnation !== current) endCurrent();
    current = incarnation;
    for (const counter of counters) record(ledgers[counter.kind], counter);
  };
  return {
    observe,
    observeLast(reading) {
      observe(reading);
      if (reading.incarnation === current) endCurrent();
    },
    read: (kind, name) => entriesOf(ledgers[kind], name).filter(isShown).map(reportOf),
    take: (kind, name) =>
      takeFrom(ledgers[kind], entriesOf(ledgers[kind], name).filter(isShown), (entries) =>
        changed?.({ incarnation: current, counters: entries.map(stateOf) }),
      ),
    hasUnread: (kind, name) => entriesOf(ledgers[kind], name).some((entry) => isUnread(entry) || entry.takers > 0),
    state,
  };
}

/** Counters by name. There are several of one name when a WireGuard user's key, which is the link, has changed. */
type Ledger = Map<string, Entry[]>;

interface Entry {
  readonly kind: TrafficKind;
  readonly name: string;
  readonly link: string;
  /** The current incarnation counts it: it is reported even when it is zero. */
  live: boolean;
  /** What the current incarnation had counted at the last reading. */
  seenUp: bigint;
  seenDown: bigint;
  /** What no reset has taken yet. */
  unreadUp: bigint;
  unreadDown: bigint;
  /** Resets that have taken bytes of it and may give them back. */
  takers: number;
  /** Those bytes. */
  takenUp: bigint;
  takenDown: bigint;
}

// A reading may still be on its way when its incarnation ends; nothing is on its way for this many restarts.
const endedRemembered = 8;

function record(ledger: Ledger, counter: TrafficCounter): void {
  const entry = entryFor(ledger, counter);
  entry.unreadUp += growth(counter.uplinkBytes, entry.seenUp);
  entry.unreadDown += growth(counter.downlinkBytes, entry.seenDown);
  entry.seenUp = counter.uplinkBytes;
  entry.seenDown = counter.downlinkBytes;
  entry.live = true;
}

function restore(ledger: Ledger, { seenUp, seenDown, unreadUp, unreadDown, live, ...counter }: CounterState): void {
  Object.assign(entryFor(ledger, counter), { seenUp, seenDown, unreadUp, unreadDown, live });
}

function stateOf({ kind, name, link, live, seenUp, seenDown, ...entry }: Entry): CounterState {
  const [unreadUp, unreadDown] = [entry.unreadUp + entry.takenUp, entry.unreadDown + entry.takenDown];
  return { kind, name, link, live, seenUp, seenDown, unreadUp, unreadDown };
}

function entryFor(ledger: Ledger, { kind, name, link }: Pick<TrafficCounter, "kind" | "name" | "link">): Entry {
  const ofName = ledger.get(name);
  const first = ofName?.[0];
  const known = first?.link === link ? first : ofName?.find((entry) => entry.link === link);
  if (known !== undefined) return known;
  const entry: Entry = {
    kind,
    name,
    link,
    live: true,
    seenUp: 0n,
    seenDown: 0n,
    unreadUp: 0n,
    unreadDown: 0n,
    takers: 0,
    takenUp: 0n,
    takenDown: 0n,
  };
  if (ofName === undefined) ledger.set(name, [entry]);
  else ofName.push(entry);
  return entry;
}

function entriesOf(ledger: Ledger, name?: string): Entry[] {
  if (name !== undefined) return [...(ledger.get(name) ?? [])];
  const entries: Entry[] = [];
  for (const ofName of ledger.values()) for (const entry of ofName) entries.push(entry);
  return entries;
}

function reportOf(entry: Entry): TrafficCounter {
  const { kind, name, link, unreadUp, unreadDown } = entry;
  return { kind, name, link, uplinkBytes: unreadUp, downlinkBytes: unreadDown };
}

function isUnread(entry: Entry): boolean {
  return entry.unreadUp > 0n || entry.unreadDown > 0n;
}

// What no engine counts any more is only kept for bytes that are on their way.
function isShown(entry: Entry): boolean {
  return entry.live || isUnread(entry);
}

interface Part {
  readonly entry: Entry;
  readonly up: bigint;
  readonly down: bigint;
}

function takeFrom(
  ledger: Ledger,
  entries: readonly Entry[],
  confirmed: (entries: readonly Entry[]) => void,
): TakenTraffic {
  const counters = entries.map(reportOf);
  let parts: Part[] | undefined = entries.filter(isUnread).map(takePart);
  const settle = (end: (part: Part) => void) => {
    for (const part of parts ?? []) {
      part.entry.takers -= 1;
      part.entry.takenUp -= part.up;
      part.entry.takenDown -= part.down;
      end(part);
      forgetWhenOver(ledger, part.entry);
    }
    parts = undefined;
  };
  return {
    counters,
    confirm() {
      const changed = parts?.map(({ entry }) => entry) ?? [];
      settle(() => undefined);
      if (changed.length > 0) confirmed(changed);
    },
    giveBack: () =>
      settle(({ entry, up, down }) => {
        entry.unreadUp += up;
        entry.unreadDown += down;
      }),
  };
}

function takePart(entry: Entry): Part {
  const { unreadUp: up, unreadDown: down } = entry;
  entry.unreadUp = 0n;
  entry.unreadDown = 0n;
  entry.takers += 1;
  entry.takenUp += up;
  entry.takenDown += down;
  return { entry, up, down };
}

function endIncarnation(ledger: Ledger, entry: Entry): void {
  entry.seenUp = 0n;
  entry.seenDown = 0n;
  entry.live = false;
  forgetWhenOver(ledger, entry);
}

function forgetWhenOver(ledger: Ledger, entry: Entry): void {
  if (entry.live || isUnread(entry) || entry.takers > 0) return;
  const others = (ledger.get(entry.name) ?? []).filter((other) => other !== entry);
  if (others.length > 0) ledger.set(entry.name, others);
  else ledger.delete(entry.name);
}
