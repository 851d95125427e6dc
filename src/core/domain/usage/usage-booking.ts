import { create } from "@bufbuild/protobuf";
import {
  type Batch,
  type ReportOutboundUsageRequest,
  type ReportOutboundUsageResponse,
  ReportOutboundUsageResponseSchema,
  type ReportSessionsRequest,
  type ReportSessionsResponse,
  ReportSessionsResponseSchema,
  type ReportUsageRequest,
  type ReportUsageResponse,
  ReportUsageResponseSchema,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { ConfigPublisher } from "../configs.ts";
import { createTallies, type Tallies } from "../tallies.ts";
import { digestOfOutboundUsage, digestOfSessions, digestOfUsage } from "./batch-digest.ts";
import { type BatchName, nameOfBatch } from "./batch-name.ts";
import { judgeBatch } from "./batch-order.ts";
import { bookOutboundUsage } from "./book-outbound-usage.ts";
import { bookSessions } from "./book-sessions.ts";
import { type BookedUsage, bookUsage } from "./book-usage.ts";
import { ReportTooLarge } from "./situations.ts";
import type { Booking, ReportKind, UsageStore } from "./usage-store.ts";

/**
 * Books what nodes report, each batch once. The key is the header `Idempotency-Key` as it came. Every function throws
 * `SequenceGap`, `BatchMismatch`, `EpochUnknown`, `ReportTooLarge` or `BatchNameInvalid`, and has booked nothing
 * then. Whatever else it throws, the agent sends the same batch again.
 */
export interface UsageBooking {
  reportUsage(nodeId: number, request: ReportUsageRequest, idempotencyKey?: string): Promise<ReportUsageResponse>;
  reportOutboundUsage(
    nodeId: number,
    request: ReportOutboundUsageRequest,
    idempotencyKey?: string,
  ): Promise<ReportOutboundUsageResponse>;
  reportSessions(
    nodeId: number,
    request: ReportSessionsRequest,
    idempotencyKey?: string,
  ): Promise<ReportSessionsResponse>;
}

/** Options of {@link createUsageBooking}. */
export interface UsageBookingOptions {
  readonly store: UsageStore;
  /** Is told of subscriptions that nodes shall refuse from now on, or no longer. */
  readonly configs: Pick<ConfigPublisher, "changed">;
  /** How many entries or items, and how many events, a report may have: what agents are told as `Limits`. */
  readonly limits: { readonly maxEntries: number; readonly maxEvents: number };
  /** Where it is counted what became of reports. Default: nowhere. */
  readonly tallies?: Tallies["reports"];
  /** Milliseconds since 1970. */
  now(): number;
}

/** Makes what books reports. */
export function createUsageBooking(options: UsageBookingOptions): UsageBooking {
  const { store, configs, limits, tallies = createTallies().reports, now } = options;
  const count = (kind: ReportKind, entries: number, quarantined: number | undefined) => {
    const tally = tallies[kind];
    if (quarantined === undefined) {
      tally.duplicate += 1;
      return;
    }
    tally.booked += 1;
    tally.entries += entries;
    tally.quarantined += quarantined;
  };
  return {
    async reportUsage(nodeId, request, idempotencyKey) {
      checkLength(Math.max(request.entries.length, request.inbounds.length), limits.maxEntries);
      const report = reportOf("usage", nodeId, request.batch, idempotencyKey, () => digestOfUsage(request));
      const at = now();
      const { answer, booked } = await bookOnce<BookedUsage>(store, report, at, (booking) =>
        bookUsage(booking, nodeId, request, report.name?.ageMs, at),
      );
      count("usage", request.entries.length + request.inbounds.length, booked?.quarantined);
      if (booked !== undefined && booked.refusalsChanged.length > 0) {
        configs.changed({ subscriptionIds: booked.refusalsChanged }, "quota");
      }
      if (answer === undefined) return create(ReportUsageResponseSchema, { ok: true });
      return create(ReportUsageResponseSchema, {
        ...answer,
        quarantined: booked?.quarantined ?? 0,
        leases: [...(booked?.leases ?? [])],
      });
    },

    async reportOutboundUsage(nodeId, request, idempotencyKey) {
      checkLength(request.items.length, limits.maxEntries);
      const report = reportOf("outbound_usage", nodeId, request.batch, idempotencyKey, () =>
        digestOfOutboundUsage(request),
      );
      const at = now();
      const { answer, booked } = await bookOnce(store, report, at, (booking) =>
        bookOutboundUsage(booking, nodeId, request.items, at),
      );
      count("outbound_usage", request.items.length, booked);
      return create(ReportOutboundUsageResponseSchema, answer ? { ...answer, quarantined: booked ?? 0 } : { ok: true });
    },

    async reportSessions(nodeId, request, idempotencyKey) {
      checkLength(request.events.length, limits.maxEvents);
      const report = reportOf("sessions", nodeId, request.batch, idempotencyKey, () => digestOfSessions(request));
      const at = now();
      const { answer, booked } = await bookOnce(store, report, at, (booking) =>
        bookSessions(booking, nodeId, request.events, report.name?.ageMs, at),
      );
      count("sessions", request.events.length, booked);
      return create(ReportSessionsResponseSchema, answer ? { ...answer, quarantined: booked ?? 0 } : { ok: true });
    },
  };
}

/** A report as its stream sees it. */
interface Report {
  readonly kind: ReportKind;
  readonly nodeId: number;
  /** Undefined: it is booked each time it is sent. */
  readonly name: BatchName | undefined;
  readonly digest: Uint8Array;
}

/** What a report with a name is answered, whatever its kind. */
interface Answer {
  readonly ok: true;
  readonly ackedSeq: bigint;
  readonly duplicate: boolean;
}

function reportOf(
  kind: ReportKind,
  nodeId: number,
  batch: Batch | undefined,
  idempotencyKey: string | undefined,
  digest: () => Uint8Array,
): Report {
  const name = nameOfBatch(batch, idempotencyKey);
  return { kind, nodeId, name, digest: name === undefined ? new Uint8Array() : digest() };
}

function checkLength(given: number, limit: number): void {
  if (given > limit) throw new ReportTooLarge(given, limit);
}

/** Books a report in one transaction with the progress of its stream, unless that says that it was booked before. */
function bookOnce<T>(
  store: UsageStore,
  { kind, nodeId, name, digest }: Report,
  now: number,
  book: (booking: Booking) => Promise<T>,
): Promise<{ answer: Answer | undefined; booked: T | undefined }> {
  return store.book(async (booking) => {
    if (name === undefined) return { answer: undefined, booked: await book(booking) };
    const key = { nodeId, kind, epoch: name.epoch };
    const verdict = judgeBatch(name, digest, await booking.stream(key), now);
    if (verdict.kind === "duplicate") {
      return { answer: { ok: true, ackedSeq: verdict.lastSeq, duplicate: true }, booked: undefined };
    }
    if (verdict.gap !== undefined) await booking.noteGap(key, verdict.gap, now);
    const booked = await book(booking);
    await booking.advance(key, { lastSeq: name.seq, digests: verdict.digests, updatedAt: now });
    return { answer: { ok: true, ackedSeq: name.seq, duplicate: false }, booked };
  });
}
