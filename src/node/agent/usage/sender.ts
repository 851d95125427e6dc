import { create } from "@bufbuild/protobuf";
import { type Client, Code } from "@connectrpc/connect";
import {
  type Batch,
  BatchSchema,
  type NodeAgentService,
  SequenceGapSchema,
  type SubscriptionLease,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { LimitsSchema } from "../../../../gen/garrison/core/v1/node_status_pb.ts";
import { pause } from "../../../platform/pause.ts";
import type { Logger } from "../../../platform/telemetry/log.ts";
import type { Owner } from "../config/links.ts";
import { createBackoff, jittered } from "../contact/backoff.ts";
import type { Contact } from "../contact/contact.ts";
import { CoreRefused } from "../contact/core-client.ts";
import type { FaultReports } from "../contact/fault-reports.ts";
import { createSleeper } from "../sleeper.ts";
import type { ReportKind, Reports, SealedBatch, Spool } from "../spool/spool.ts";

/** Sends the batches of one kind, one at a time and in order, until Core has acknowledged each. */
export interface Sender {
  /** Sends what waits now, the minute that goes on included. */
  flush(): void;
  /** Sends what waits now. */
  wake(): void;
  /** Ends sending; what waits, waits. */
  close(): Promise<void>;
}

/** Options of {@link createSender}. */
export interface SenderOptions<K extends ReportKind> {
  readonly kind: K;
  readonly contact: Pick<Contact, "call">;
  readonly spool: Spool;
  /** Milliseconds between reports. */
  readonly periodMs: () => number;
  /** Entries in one report. */
  readonly maxEntries: () => number;
  /** Reports per second of a node with a backlog. Undefined: as fast as they are acknowledged. */
  readonly batchesPerSecond: () => number | undefined;
  readonly attribute: (linkUuid: string) => Owner | undefined;
  /** Core has booked a report. */
  readonly booked: (report: Reports[K], leases: readonly SubscriptionLease[]) => void;
  /** Core takes no more than so many entries. */
  readonly tooLarge: (maxEntries: number) => void;
  /** A batch cannot be booked by Core, whatever happens. */
  readonly setAside: (batch: SealedBatch<K>, reason: string) => Promise<void>;
  readonly faults: Pick<FaultReports, "report">;
  /** Milliseconds since 1970, by Core's clock. */
  readonly now: () => number;
  readonly log: Logger;
}

const minuteMs = 60_000;

/** Starts sending. */
export function createSender<K extends ReportKind>(options: SenderOptions<K>): Sender {
  const { kind, contact, spool, now, log } = options;
  const closed = new AbortController();
  const backoff = createBackoff();
  const { sleep, wake } = createSleeper(closed.signal);
  let isUrgent = false;

  async function next(): Promise<SealedBatch<K> | undefined> {
    // A Core that wants to hear more often than once a minute wants to hear of the minute that goes on.
    const isOpenWanted = isUrgent || options.periodMs() < minuteMs;
    const before = isOpenWanted ? now() + minuteMs : Math.floor(now() / minuteMs) * minuteMs;
    return spool.next(kind, { maxEntries: options.maxEntries(), before, attribute: options.attribute });
  }

  async function drain(): Promise<void> {
    for (let batch = await next(); batch !== undefined && !closed.signal.aborted; batch = await next()) {
      await send(batch);
      const perSecond = options.batchesPerSecond();
      if (perSecond !== undefined && perSecond > 0) await pause(1_000 / perSecond, closed.signal);
    }
    isUrgent = false;
  }

  async function send(batch: SealedBatch<K>): Promise<void> {
    try {
      const { ackedSeq = 0n, leases } = await contact.call((core, call) => calls[kind](core, batch, call), {
        signal: closed.signal,
      });
      await spool.acknowledge(kind, batch.seq);
      options.booked(batch.request, leases);
      // Core would take the next ones for those that it has, and of which it knows the entries no more.
      if (ackedSeq > batch.seq) await begin(batch, `Core has booked batches up to ${ackedSeq} already`);
    } catch (error) {
      if (!(error instanceof CoreRefused)) throw error;
      await settle(batch, error);
    }
  }

  /** Does what Core's refusal asks for; what cannot be helped is thrown. */
  async function settle(batch: SealedBatch<K>, refusal: CoreRefused): Promise<void> {
    const { code, error } = refusal;
    const { epoch, seq } = batch;
    if (code === "SEQUENCE_GAP") {
      const expected = Number(error.findDetails(SequenceGapSchema)[0]?.expected ?? 0n);
      if (expected < 1 || expected >= seq) return begin(batch, "Core has booked batches that this node does not know");
      tell(`batches ${expected} to ${seq - 1} of ${kind} are lost: Core did not get them, and they are gone`, batch);
      return spool.declareLost(kind, expected);
    }
    if (code === "EPOCH_UNKNOWN") {
      log.info({ kind, epoch, seq }, "Core has forgotten these batches: they are counted from 1 again");
      return spool.beginEpoch(kind);
    }
    if (code === "BATCH_MISMATCH") return begin(batch, "Core has booked another batch under this number");
    const entries = countOf(batch.request);
    if (code === "PAYLOAD_TOO_LARGE" && entries > 1) {
      const limits = error.findDetails(LimitsSchema)[0];
      const most = (kind === "sessions" ? limits?.maxEvents : limits?.maxEntries) || entries;
      options.tooLarge(Math.min(most, Math.ceil(entries / 2)));
      return spool.unseal(kind, "wait");
    }
    if (code === "PAYLOAD_TOO_LARGE" || error.code === Code.InvalidArgument) {
      await options.setAside(batch, refusal.message);
      tell(`batch ${seq} of ${kind} is set aside: Core cannot read it: ${refusal.message}`, batch);
      return spool.unseal(kind, "are forgotten");
    }
    throw refusal;
  }

  async function begin(batch: SealedBatch<K>, reason: string): Promise<void> {
    tell(`${reason}: the spool of this node is a copy, or an old one. Its batches are counted from 1 again`, batch);
    await spool.beginEpoch(kind);
  }

  function tell(message: string, { epoch, seq }: SealedBatch<K>): void {
    options.faults.report({ code: "USAGE_GAP", message, severity: "warning", details: { kind, epoch, seq } });
  }

  async function run(): Promise<void> {
    while (!closed.signal.aborted) {
      let waitMs = jittered(options.periodMs());
      try {
        await drain();
        backoff.reset();
      } catch (error) {
        if (closed.signal.aborted) return;
        waitMs = backoff.after(error);
        log.debug({ kind, waitMs, reason: error instanceof Error ? error.message : error }, "not sent yet");
      }
      await sleep(waitMs);
    }
  }

  const running = run();
  return {
    flush() {
      isUrgent = true;
      wake();
    },
    wake,
    async close() {
      closed.abort();
      await running;
    },
  };
}

type Core = Client<typeof NodeAgentService>;
type Call = Parameters<Core["reportUsage"]>[1];

interface Booked {
  /** The number of the last batch that Core has booked. Undefined: it does not say. */
  readonly ackedSeq?: bigint;
  readonly leases: readonly SubscriptionLease[];
}

const calls: {
  readonly [K in ReportKind]: (core: Core, batch: SealedBatch<K>, call: Call) => Promise<Booked>;
} = {
  usage: (core, batch, call) => core.reportUsage({ ...batch.request, batch: nameOf(batch) }, call),
  async outbound_usage(core, batch, call) {
    return { leases: [], ...(await core.reportOutboundUsage({ ...batch.request, batch: nameOf(batch) }, call)) };
  },
  async sessions(core, batch, call) {
    return { leases: [], ...(await core.reportSessions({ ...batch.request, batch: nameOf(batch) }, call)) };
  },
};

function nameOf({ epoch, seq, ageMs, lostFrom }: SealedBatch<ReportKind>): Batch {
  return create(BatchSchema, {
    ...{ epoch, seq: BigInt(seq), ageMs: BigInt(ageMs) },
    ...(lostFrom !== undefined && { lostFrom: BigInt(lostFrom) }),
  });
}

function countOf(request: Reports[ReportKind]): number {
  if ("entries" in request) return request.entries.length;
  return "items" in request ? request.items.length : request.events.length;
}
