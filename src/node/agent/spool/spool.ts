import type {
  ReportOutboundUsageRequest,
  ReportSessionsRequest,
  ReportUsageRequest,
  SessionEventEntry,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { Incarnation, TrafficReading } from "../../engines/engine.ts";
import type { KeptFaults } from "./kept-faults.ts";

/** The kinds of report that are sent in numbered batches, as Core spells them. */
export type ReportKind = "usage" | "outbound_usage" | "sessions";

/** The request of each kind, without its batch. */
export interface Reports {
  usage: ReportUsageRequest;
  outbound_usage: ReportOutboundUsageRequest;
  sessions: ReportSessionsRequest;
}

/** A numbered batch that is not acknowledged. It never changes. */
export interface SealedBatch<K extends ReportKind> {
  readonly kind: K;
  readonly epoch: string;
  readonly seq: number;
  /** The batches from this number up to `seq` are lost and will never come; undefined: none is. */
  readonly lostFrom: number | undefined;
  /** Milliseconds since it was sealed. */
  readonly ageMs: number;
  readonly request: Reports[K];
}

/** To whom traffic of a link belongs. */
interface Attribution {
  readonly userId: number;
  readonly subscriptionId: number | undefined;
}

/** What the spool needs to know of the world when it counts. */
export interface Counting {
  /** Names the engine, such as `xray`: each has baselines of its own. */
  readonly engine: string;
  /** The minute in which it is counted: its start, in milliseconds since 1970. */
  readonly minute: number;
  /** To whom a link belongs, by its UUID. */
  readonly attribute: (linkUuid: string) => Attribution | undefined;
  /** The node protocol that an inbound serves, by its tag. */
  readonly protocolOf: (inboundTag: string) => number | undefined;
  /** When the engine was asked, in milliseconds since 1970. */
  readonly readAt: number;
  /** The incarnation has ended, or is about to, and counts nothing more. Default: it goes on. */
  readonly isLast?: boolean;
}

/** An incarnation of an engine has ended unasked, and took along what it had counted since it was read last. */
export interface CounterGap {
  readonly engine: string;
  readonly incarnation: Incarnation;
  /** When that was, in milliseconds since 1970. Undefined: it never was read. */
  readonly readAt: number | undefined;
}

/** What a reading has added. */
export interface Counted {
  /** Bytes in both directions, by subscription. */
  readonly bySubscription: ReadonlyMap<number, bigint>;
  /** The names of users that have grown. */
  readonly grownUsers: readonly string[];
  /** The incarnation before this one, if its end was not accounted for: that of a node that was killed, for one. */
  readonly gap: CounterGap | undefined;
}

/** When batches are sealed, by clocks that come in as arguments. */
export interface SpoolClock {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Milliseconds since the system was started: it never jumps. */
  readonly uptime: () => number;
  /** Names this run of the system. */
  readonly bootId: string;
}

/** Where a spool is, and how large it may be. */
export interface SpoolOptions {
  /** The SQLite file; its directory exists. */
  readonly file: string;
  readonly clock: SpoolClock;
  /** When the file is larger, minutes that are over are added up to hours. Default: 256 MiB. */
  readonly maxBytes?: number;
}

/**
 * Traffic and events on their way to Core, on disk: what was counted here is in a batch, or will be in one, exactly once,
 * however this process ends.
 */
export interface Spool {
  /** Counts what grew since the last reading of the engine. In one piece: all of it, or nothing. */
  count(reading: TrafficReading, counting: Counting): Promise<Counted>;
  /**
   * An incarnation has ended unasked. It is remembered until {@link forgetGap}, with the time of its last reading where
   * that is known here. Undefined: its end was accounted for before, unless it is certain that something was lost all the
   * same.
   */
  noteGap(gap: CounterGap, isCertain?: boolean): Promise<CounterGap | undefined>;
  /** Gaps that are remembered. */
  gaps(): Promise<readonly CounterGap[]>;
  /** It is remembered elsewhere from now on. */
  forgetGap(gap: Pick<CounterGap, "engine" | "incarnation">): Promise<void>;
  /** Adds session events. */
  note(events: readonly SessionEventEntry[]): Promise<void>;
  /**
   * The batch of a kind that is next to be sent: the one that is numbered already, else a new one of at most `maxEntries`,
   * of minutes before `before`; undefined when there is nothing. Links that were unknown are looked up again; those that
   * still are stay here for a day, and are then sent as nobody's.
   */
  next<K extends ReportKind>(kind: K, options: NextOptions): Promise<SealedBatch<K> | undefined>;
  /** Core has booked the batches of the kind up to this number. */
  acknowledge(kind: ReportKind, seq: number): Promise<void>;
  /** Core does not know the epoch of the kind, or knows other batches of it: the batch that waits is the first of another. */
  beginEpoch(kind: ReportKind): Promise<void>;
  /** Core expects a batch that is gone. What it did not get before the next one is lost. */
  declareLost(kind: ReportKind, from: number): Promise<void>;
  /**
   * Core has refused the batch that waits, and booked nothing of it: its number is free again. Its entries wait to be
   * in another batch, unless they are to be forgotten.
   */
  unseal(kind: ReportKind, entries: "wait" | "are forgotten"): Promise<void>;
  /** Bytes in both directions that Core has not acknowledged, by subscription. */
  unacknowledged(): Promise<ReadonlyMap<number, bigint>>;
  /** What waits, by kind. */
  status(): Promise<readonly SpoolState[]>;
  /** What went wrong, and Core was not told of. */
  readonly faults: KeptFaults;
  close(): Promise<void>;
}

/** What {@link Spool.next} is asked for. */
export interface NextOptions {
  readonly maxEntries: number;
  /** Milliseconds since 1970. */
  readonly before: number;
  readonly attribute: Counting["attribute"];
}

/** How much of a kind waits. */
export interface SpoolState {
  readonly kind: ReportKind;
  readonly epoch: string;
  readonly lastSeq: number;
  /** Entries that are in no batch yet. */
  readonly waitingEntries: number;
  /** A batch is numbered and not acknowledged. */
  readonly isSealed: boolean;
  /** When it was sealed, in milliseconds since 1970. */
  readonly sealedAt: number | undefined;
  /** How large it is; 0 when there is none. */
  readonly sealedBytes: number;
}
