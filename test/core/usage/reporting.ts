import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ReportUsageRequest,
  ReportUsageRequestSchema,
  type UsageEntrySchema,
} from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { ConfigScope } from "../../../src/core/domain/configs.ts";
import { createUsageBooking, type UsageBooking } from "../../../src/core/domain/usage/usage-booking.ts";
import type { UsageStore } from "../../../src/core/domain/usage/usage-store.ts";
import type { CoreSchema } from "../../../src/core/store/schema.ts";
import { createUsageStore } from "../../../src/core/store/usage/usage-store.ts";
import type { Database } from "../../../src/platform/storage/database.ts";
import type { UsageFleet } from "./fleet.ts";

/** 2026-05-10T12:34:30Z, a Sunday. */
export const noon = Date.UTC(2026, 4, 10, 12, 34, 30);
/** The minute that `noon` lies in. */
export const noonMinute = Date.UTC(2026, 4, 10, 12, 34);

/** What a booking under test is asked, and what it has told others. */
export interface BookingUnderTest extends UsageBooking {
  /** Milliseconds since 1970. */
  now: number;
  /** What the publisher of configs was told. */
  readonly published: ConfigScope[];
}

/** Makes the real booking over a database, or over another store. */
export function bookingOn(database: Database<CoreSchema>, store: UsageStore = createUsageStore(database)) {
  const published: ConfigScope[] = [];
  const clock = { now: noon };
  const booking = createUsageBooking({
    store,
    configs: { changed: (scope) => published.push(scope) },
    limits: { maxEntries: 5000, maxEvents: 2000 },
    now: () => clock.now,
  });
  return Object.assign(clock, booking, { published }) satisfies BookingUnderTest;
}

/** Traffic of the n-th user of a fleet at its first node, at `noon`. */
export function entryOf(fleet: UsageFleet, user: number, more: MessageInitShape<typeof UsageEntrySchema> = {}) {
  return {
    userId: BigInt(fleet.accountIds[user] ?? 0),
    subscriptionId: BigInt(fleet.subscriptionIds[user] ?? 0),
    nodeProtocolId: BigInt(fleet.protocolIds[0] ?? 0),
    bytesUp: 100n,
    bytesDown: 1000n,
    recordedAt: "2026-05-10T12:34:00Z",
    ...more,
  };
}

/** The name of a batch of the epoch `e1`. */
export function batch(seq: number, more: { ageMs?: bigint; lostFrom?: bigint } = {}) {
  return { epoch: "e1", seq: BigInt(seq), ...more };
}

/** A report, with the batch `<epoch>:<seq>` when one is given. */
export function usageReport(
  entries: MessageInitShape<typeof UsageEntrySchema>[],
  batch?: MessageInitShape<typeof ReportUsageRequestSchema>["batch"],
): ReportUsageRequest {
  return create(ReportUsageRequestSchema, { entries, ...(batch && { batch }) });
}

/** What a database has booked, as sums. */
export async function bookedBytes({ db }: Database<CoreSchema>) {
  const rows = await db
    .selectFrom("usage_minute")
    .select(({ fn }) => [fn.sum<bigint>("bytes_up").as("bytes_up"), fn.sum<bigint>("bytes_down").as("bytes_down")])
    .executeTakeFirstOrThrow();
  const counters = await db
    .selectFrom("subscription")
    .select(({ fn }) => [fn.sum<bigint>("bytes_up").as("bytes_up"), fn.sum<bigint>("bytes_down").as("bytes_down")])
    .executeTakeFirstOrThrow();
  return { rows: [rows.bytes_up ?? 0n, rows.bytes_down ?? 0n], counters: [counters.bytes_up, counters.bytes_down] };
}
