import { randomUUID } from "node:crypto";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Transaction } from "kysely";
import {
  ReportOutboundUsageRequestSchema,
  ReportSessionsRequestSchema,
  ReportUsageRequestSchema,
  type SessionEventEntry,
  SessionEventEntrySchema,
} from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { addUsage } from "./buckets.ts";
import type { SpoolSchema } from "./schema.ts";
import type { NextOptions, ReportKind, Reports, SealedBatch, Spool, SpoolClock, SpoolState } from "./spool.ts";

/** The part of a spool that makes batches. */
export type Sealing = Pick<Spool, "note" | "next" | "acknowledge" | "beginEpoch" | "declareLost" | "status">;

/** A link that nobody knows is waited for that long. */
const unknownLinkMs = 86_400_000;

const kinds: readonly ReportKind[] = ["usage", "outbound_usage", "sessions"];

/** Makes it; each kind has an epoch from the beginning. */
export async function createSealing(database: Database<SpoolSchema>, clock: SpoolClock): Promise<Sealing> {
  const { db, transaction } = database;
  const formats = createFormats(database);
  const addEvent = database.prepare((to, { event }: { event: Uint8Array }) =>
    to.insertInto("session_event").values({ event }),
  );
  for (const kind of kinds) {
    const stream = { kind, epoch: randomUUID(), last_seq: 0, lost_from: 0 };
    await db
      .insertInto("stream")
      .values(stream)
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  const sealedOf = async <K extends ReportKind>(kind: K): Promise<SealedBatch<K> | undefined> => {
    const row = await db
      .selectFrom("sealed")
      .innerJoin("stream", "stream.kind", "sealed.kind")
      .select(["seq", "request", "sealed_at", "sealed_uptime", "boot_id", "epoch", "lost_from"])
      .where("sealed.kind", "=", kind)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const isSameRun = row.boot_id === clock.bootId;
    const ageMs = isSameRun ? clock.uptime() - row.sealed_uptime : clock.now() - row.sealed_at;
    return {
      kind,
      epoch: row.epoch,
      seq: row.seq,
      lostFrom: row.lost_from === 0 ? undefined : row.lost_from,
      ageMs: Math.max(0, Math.round(ageMs)),
      request: formats[kind].read(row.request),
    };
  };

  const sealNext = async (kind: ReportKind, options: NextOptions): Promise<boolean> =>
    transaction(async (tx) => {
      const request = await formats[kind].take(tx, options, clock.now());
      if (request === undefined) return false;
      const { last_seq } = await tx
        .updateTable("stream")
        .set((eb) => ({ last_seq: eb("last_seq", "+", 1) }))
        .where("kind", "=", kind)
        .returning("last_seq")
        .executeTakeFirstOrThrow();
      const [sealed_at, sealed_uptime] = [clock.now(), Math.round(clock.uptime())];
      const sealed = { kind, seq: last_seq, request, sealed_at, sealed_uptime, boot_id: clock.bootId };
      await tx.insertInto("sealed").values(sealed).execute();
      return true;
    });

  return {
    async note(events) {
      if (events.length === 0) return;
      const rows = events.map((event) => ({ event: toBinary(SessionEventEntrySchema, event) }));
      await transaction((tx) => addEvent.runMany(rows, tx));
    },
    async next(kind, options) {
      const waiting = await sealedOf(kind);
      if (waiting !== undefined) return waiting;
      return (await sealNext(kind, options)) ? sealedOf(kind) : undefined;
    },
    acknowledge: (kind, seq) =>
      transaction(async (tx) => {
        const { numDeletedRows } = await tx
          .deleteFrom("sealed")
          .where("kind", "=", kind)
          .where("seq", "<=", seq)
          .executeTakeFirst();
        if (numDeletedRows > 0n)
          await tx.updateTable("stream").set({ lost_from: 0 }).where("kind", "=", kind).execute();
      }),
    beginEpoch: (kind) =>
      transaction(async (tx) => {
        const { numUpdatedRows } = await tx
          .updateTable("sealed")
          .set({ seq: 1 })
          .where("kind", "=", kind)
          .executeTakeFirst();
        const stream = { epoch: randomUUID(), last_seq: Number(numUpdatedRows), lost_from: 0 };
        await tx.updateTable("stream").set(stream).where("kind", "=", kind).execute();
      }),
    async declareLost(kind, from) {
      await db.updateTable("stream").set({ lost_from: from }).where("kind", "=", kind).execute();
    },
    async status() {
      const states: SpoolState[] = [];
      for (const kind of kinds) {
        const stream = await db.selectFrom("stream").selectAll().where("kind", "=", kind).executeTakeFirstOrThrow();
        const sealed = await db
          .selectFrom("sealed")
          .select(["sealed_at", "request"])
          .where("kind", "=", kind)
          .executeTakeFirst();
        const { count } = await db
          .selectFrom(formats[kind].table)
          .select((eb) => eb.fn.countAll<number>().as("count"))
          .executeTakeFirstOrThrow();
        states.push({
          ...{ kind, epoch: stream.epoch, lastSeq: stream.last_seq, waitingEntries: count },
          ...{ isSealed: sealed !== undefined, sealedAt: sealed?.sealed_at, sealedBytes: sealed?.request.length ?? 0 },
        });
      }
      return states;
    },
  };
}

interface Format<K extends ReportKind> {
  /** Where its entries wait. */
  readonly table: "usage_bucket" | "outbound_bucket" | "session_event";
  /** Takes entries out, for a request in its binary form; undefined when there are none. */
  take(tx: Transaction<SpoolSchema>, options: NextOptions, nowMs: number): Promise<Uint8Array | undefined>;
  read(request: Uint8Array): Reports[K];
}

function createFormats(database: Database<SpoolSchema>): { readonly [K in ReportKind]: Format<K> } {
  const removeBucket = prepareRemoval(database);
  return {
    usage: {
      table: "usage_bucket",
      async take(tx, options, nowMs) {
        await attributeLate(tx, options.attribute);
        const rows = await usageRows(tx, options, nowMs).limit(options.maxEntries).execute();
        const inbounds = await tx.deleteFrom("inbound_bucket").returningAll().execute();
        if (rows.length === 0 && inbounds.length === 0) return undefined;
        await removeBucket.runMany(rows, tx);
        const request = create(ReportUsageRequestSchema, {
          entries: rows.map((row) => ({
            userId: BigInt(row.user_id),
            ...(row.subscription_id > 0 && { subscriptionId: BigInt(row.subscription_id) }),
            nodeProtocolId: BigInt(row.node_protocol_id),
            bytesUp: row.bytes_up,
            bytesDown: row.bytes_down,
            recordedAt: new Date(row.minute).toISOString(),
            linkUuid: row.user_id === 0 ? row.link_uuid : "",
            coarse: row.coarse === 1,
          })),
          inbounds: inbounds.map((row) => ({
            nodeProtocolId: BigInt(row.node_protocol_id),
            bytesUp: row.bytes_up,
            bytesDown: row.bytes_down,
          })),
        });
        return toBinary(ReportUsageRequestSchema, request);
      },
      read: (request) => fromBinary(ReportUsageRequestSchema, request),
    },
    outbound_usage: {
      table: "outbound_bucket",
      async take(tx, { maxEntries }) {
        const rows = await tx.selectFrom("outbound_bucket").selectAll().orderBy("tag").limit(maxEntries).execute();
        if (rows.length === 0) return undefined;
        for (const { tag } of rows) await tx.deleteFrom("outbound_bucket").where("tag", "=", tag).execute();
        const items = rows.map(({ tag, bytes_up, bytes_down }) => ({ tag, bytesUp: bytes_up, bytesDown: bytes_down }));
        return toBinary(ReportOutboundUsageRequestSchema, create(ReportOutboundUsageRequestSchema, { items }));
      },
      read: (request) => fromBinary(ReportOutboundUsageRequestSchema, request),
    },
    sessions: {
      table: "session_event",
      async take(tx, { maxEntries }) {
        const rows = await tx.selectFrom("session_event").selectAll().orderBy("id").limit(maxEntries).execute();
        const last = rows.at(-1);
        if (last === undefined) return undefined;
        await tx.deleteFrom("session_event").where("id", "<=", last.id).execute();
        const events: SessionEventEntry[] = rows.map(({ event }) => fromBinary(SessionEventEntrySchema, event));
        return toBinary(ReportSessionsRequestSchema, create(ReportSessionsRequestSchema, { events }));
      },
      read: (request) => fromBinary(ReportSessionsRequestSchema, request),
    },
  };
}

/** Rows that may be sent: not the minute that goes on, nor what may still turn out to be somebody's. */
function usageRows(tx: Transaction<SpoolSchema>, { before }: NextOptions, nowMs: number) {
  return tx
    .selectFrom("usage_bucket")
    .selectAll()
    .where("minute", "<", before)
    .where((eb) => eb.or([eb("user_id", ">", 0), eb("minute", "<", nowMs - unknownLinkMs)]))
    .orderBy("minute");
}

type UsageBucket = Awaited<ReturnType<ReturnType<typeof usageRows>["execute"]>>[number];

function prepareRemoval({ prepare }: Database<SpoolSchema>) {
  return prepare((db, row: UsageBucket) => {
    const { minute, coarse, node_protocol_id, link_uuid, user_id, subscription_id } = row;
    return db
      .deleteFrom("usage_bucket")
      .where("minute", "=", minute)
      .where("coarse", "=", coarse)
      .where("node_protocol_id", "=", node_protocol_id)
      .where("link_uuid", "=", link_uuid)
      .where("user_id", "=", user_id)
      .where("subscription_id", "=", subscription_id);
  });
}

/** Gives traffic of links that were unknown to those whom they belong to by now. */
async function attributeLate(tx: Transaction<SpoolSchema>, attribute: NextOptions["attribute"]): Promise<void> {
  const unknown = await tx.selectFrom("usage_bucket").select("link_uuid").distinct().where("user_id", "=", 0).execute();
  for (const { link_uuid } of unknown) {
    const to = attribute(link_uuid);
    if (to === undefined) continue;
    const { userId: user_id, subscriptionId: subscription_id = 0 } = to;
    const rows = await tx
      .deleteFrom("usage_bucket")
      .where("user_id", "=", 0)
      .where("link_uuid", "=", link_uuid)
      .returningAll()
      .execute();
    for (const row of rows) await addUsage(tx, { ...row, user_id, subscription_id }, row.coarse).execute();
  }
}
