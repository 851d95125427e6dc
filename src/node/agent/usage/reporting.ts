import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toJsonString } from "@bufbuild/protobuf";
import {
  ReportOutboundUsageRequestSchema,
  ReportSessionsRequestSchema,
  ReportUsageRequestSchema,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { Pace } from "../pace.ts";
import type { ReportKind, Reports, SealedBatch } from "../spool/spool.ts";
import { createSender, type Sender, type SenderOptions } from "./sender.ts";
import type { Terms } from "./terms.ts";

/** Sends what waits in the spool, of all kinds at a time. */
export interface Reporting {
  /** Sends traffic of users now, that of the minute that goes on included. */
  flushUsage(): void;
  /** The pace has changed. */
  wake(): void;
  close(): Promise<void>;
}

/** Options of {@link startReporting}. */
export interface ReportingOptions
  extends Pick<SenderOptions<ReportKind>, "contact" | "spool" | "attribute" | "faults" | "now" | "log"> {
  readonly pace: Pace;
  readonly terms: Pick<Terms, "booked">;
  /** Usage was booked: other links may be refused now. */
  readonly booked: () => void;
  /** Where batches are put that Core cannot book. It exists. */
  readonly directory: string;
}

/** Starts sending. */
export function startReporting(options: ReportingOptions): Reporting {
  const { pace, terms, directory } = options;
  const start = <K extends ReportKind>(
    kind: K,
    booked: SenderOptions<K>["booked"],
    textOf: (request: Reports[K]) => string,
  ): Sender =>
    createSender<K>({
      ...options,
      kind,
      booked,
      periodMs: () => pace.reportMs(kind),
      maxEntries: () => pace.maxEntries(kind),
      batchesPerSecond: () => pace.batchesPerSecond,
      tooLarge: (most) => pace.lower(kind, most),
      setAside: ({ epoch, seq, request }: SealedBatch<K>) =>
        writeFile(join(directory, `refused-${kind}-${epoch}-${seq}.json`), textOf(request), { mode: 0o600 }),
    });
  const usage = start(
    "usage",
    (report, leases) => {
      terms.booked(report, leases);
      options.booked();
    },
    (request) => toJsonString(ReportUsageRequestSchema, request),
  );
  const others = [
    start(
      "outbound_usage",
      () => undefined,
      (request) => toJsonString(ReportOutboundUsageRequestSchema, request),
    ),
    start(
      "sessions",
      () => undefined,
      (request) => toJsonString(ReportSessionsRequestSchema, request),
    ),
  ];
  return {
    flushUsage: usage.flush,
    wake() {
      for (const sender of [usage, ...others]) sender.wake();
    },
    async close() {
      await Promise.all([usage, ...others].map((sender) => sender.close()));
    },
  };
}
