import type {
  InboundUsage,
  OutboundUsageItem,
  SessionEventEntry,
  UsageEntry,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { ResetPeriod } from "../fleet/reset-period.ts";
import type { StreamState } from "./batch-order.ts";

/** What booking asks of a database. */
export interface UsageStore {
  /** Executes `work` in one transaction. It is called again when others were in the way. */
  book<T>(work: (booking: Booking) => Promise<T>): Promise<T>;
}

/** The kinds of reports; each has its own numbers. */
export type ReportKind = "usage" | "outbound_usage" | "sessions";

/** A numbered sequence of batches. */
export interface StreamKey {
  readonly nodeId: number;
  readonly kind: ReportKind;
  readonly epoch: string;
}

/** One transaction. Nobody else books on the same stream, or on the same subscriptions, until it ends. */
export interface Booking {
  /** How far a stream has come. */
  stream(key: StreamKey): Promise<StreamState | undefined>;
  advance(key: StreamKey, state: StreamState): Promise<void>;
  noteGap(key: StreamKey, gap: { readonly from: bigint; readonly to: bigint }, now: number): Promise<void>;
  node(nodeId: number): Promise<NodeTraits>;
  /** Those of the ids that are of no account. */
  unknownAccounts(ids: readonly number[]): Promise<ReadonlySet<number>>;
  /** What matters of some subscriptions: those that `isNotable`, and those that are unknown or not the account's. */
  notable(claims: readonly Claim[], now: number): Promise<readonly NotableSubscription[]>;
  /** Begins periods, with nothing used. */
  beginPeriods(periods: readonly BegunPeriod[]): Promise<void>;
  refuse(subscriptionIds: readonly number[], reason: "quota"): Promise<void>;
  /** Notes that nodes have to be told of these subscriptions, whatever becomes of this process. */
  noteNews(subscriptionIds: readonly number[], now: number): Promise<void>;
  /** Adds to the counters of subscriptions. Counters that are full stay full. */
  addToSubscriptions(claims: readonly Claim[]): Promise<void>;
  /** Adds to the rows per minute. No two rows are of the same minute, protocol, account, subscription and link. */
  addRows(nodeId: number, rows: readonly UsageRow[]): Promise<void>;
  addInbounds(nodeId: number, day: number, inbounds: readonly InboundTotal[]): Promise<void>;
  /** Tags of the node's outbounds. */
  outboundTags(nodeId: number): Promise<ReadonlySet<string>>;
  addToOutbounds(nodeId: number, items: readonly OutboundTotal[]): Promise<void>;
  addSessionEvents(nodeId: number, events: readonly SessionRow[]): Promise<void>;
  keepAside(nodeId: number, kind: ReportKind, aside: readonly Aside[], now: number): Promise<void>;
}

/** What is known of a node. */
export interface NodeTraits {
  readonly protocols: ReadonlySet<number>;
  /** What its network carries in one direction; null: not known. */
  readonly bitsPerSecond: number | null;
  /** Nodes that serve users, this one included. */
  readonly nodesServing: number;
}

/** Traffic that a node claims a subscription of an account has had. */
export interface Claim {
  readonly subscriptionId: number;
  /** 0: none can be right. */
  readonly accountId: number;
  readonly bytesUp: bigint;
  readonly bytesDown: bigint;
}

/** A subscription that needs a second look, as it is before the report. */
export interface NotableSubscription {
  readonly id: number;
  /** Null: there is no such subscription. */
  readonly accountId: number | null;
  readonly quotaBytes: bigint | null;
  readonly periodBytes: bigint;
  readonly expiresAt: number | null;
  readonly refused: string;
  readonly resetPeriod: ResetPeriod;
  readonly nextResetAt: number | null;
}

/** A period of a subscription that begins. */
export interface BegunPeriod {
  readonly subscriptionId: number;
  readonly startedAt: number;
  readonly nextResetAt: number | null;
  readonly refused: string;
}

/** Traffic of one link in one minute. */
export interface UsageRow {
  readonly minute: number;
  readonly nodeProtocolId: number;
  /** 0: unattributed. */
  readonly accountId: number;
  /** 0: none. */
  readonly subscriptionId: number;
  /** Of unattributed traffic; else empty. */
  readonly linkUuid: string;
  readonly bytesUp: bigint;
  readonly bytesDown: bigint;
  readonly late: boolean;
  readonly coarse: boolean;
}

/** Traffic of an inbound, and of its users. */
export interface InboundTotal {
  readonly nodeProtocolId: number;
  readonly bytesUp: bigint;
  readonly bytesDown: bigint;
  /** In both directions. */
  readonly userBytes: bigint;
}

/** Traffic of an outbound. */
export type OutboundTotal = Pick<OutboundUsageItem, "tag" | "bytesUp" | "bytesDown">;

/** A user came or went. */
export interface SessionRow {
  readonly accountId: number;
  readonly subscriptionId: number | null;
  readonly nodeProtocolId: number | null;
  /** The spelling of `VpnProtocol`. */
  readonly protocol: string;
  readonly eventType: "online" | "offline";
  readonly occurredAt: number;
  /** Empty: not known. */
  readonly ipAddress: string;
  readonly sessionId: string;
}

/** An entry that is not booked, because it cannot be right. */
export interface Aside {
  readonly reason: string;
  readonly entry: UsageEntry | InboundUsage | OutboundUsageItem | SessionEventEntry;
}
