import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ReportUsageRequest } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { SequenceGap } from "../../../src/core/domain/usage/situations.ts";
import type { CoreSchema } from "../../../src/core/store/schema.ts";
import { createUsageStore } from "../../../src/core/store/usage/usage-store.ts";
import type { Database } from "../../../src/platform/storage/database.ts";
import { createRandom, type Random } from "../../support/random.ts";
import { emptyTables, engines, type SharedDatabase, shareDatabase } from "../shared-database.ts";
import { type FailurePlan, failingStore, PlannedFailure } from "./failing-store.ts";
import { addFleet, type UsageFleet } from "./fleet.ts";
import { bookedBytes, bookingOn, entryOf, usageReport } from "./reporting.ts";

/** What a report can change. */
const tables = [
  "usage_minute",
  "subscription",
  "node_stream",
  "node_stream_gap",
  "node_publication",
  "quarantined_entry",
] as const;

describe.each(engines)("every byte is counted once on %s", (engine) => {
  let shared: SharedDatabase;
  let replicas: Database<CoreSchema>[];
  let database: Database<CoreSchema>;
  let fleet: UsageFleet;

  beforeAll(async () => {
    shared = await shareDatabase(engine);
    replicas = [await shared.open(), await shared.open()];
    [database] = replicas as [Database<CoreSchema>];
  });
  afterAll(() => shared.close());
  beforeEach(async () => {
    fleet = await addFleet(database, { nodes: 4, users: 20 }, { quota_bytes: 3000n });
  });
  afterEach(async () => {
    await emptyTables(database, "usage_minute", "inbound_day", "node", "account");
  });

  // As texts in an order of their own: an engine may give rows in another one after a rollback.
  const everything = async () => {
    const rows = await Promise.all(
      tables.map((table) => database.db.selectFrom(table).selectAll(table).execute() as Promise<object[]>),
    );
    return rows.map((ofTable) => ofTable.map((row) => inspect(row, { maxArrayLength: null })).sort());
  };

  test("wherever a transaction fails, nothing of it stays, and the same batch is booked when it comes again", async () => {
    const [node = 0] = fleet.nodeIds;
    const plain = bookingOn(database);
    await plain.reportUsage(node, usageReport([entryOf(fleet, 0)], { epoch: "e", seq: 1n }));
    let seq = 1n;
    let plan: FailurePlan | undefined;
    const store = failingStore(createUsageStore(database), () => plan);
    const booking = bookingOn(database, store);
    let sent = 1n;
    for (const when of ["before", "after", "committed"] as const) {
      for (let step = 1; step <= (when === "committed" ? 1 : Math.max(1, store.steps)); step += 1) {
        const report = usageReport([entryOf(fleet, 0), entryOf(fleet, 1), entryOf(fleet, 2, { bytesUp: -1n })], {
          epoch: "e",
          seq: seq + 2n,
          lostFrom: seq + 1n,
        });
        seq += 2n;
        // Every report leads to all that one can: a period that begins, a quota that is used up, an entry that is wrong.
        await database.db
          .updateTable("subscription")
          .set({ reset_period: "day", next_reset_at: Date.UTC(2026, 4, 10), quota_bytes: 1n, refused: "" })
          .where("id", "=", fleet.subscriptionIds[1] ?? 0)
          .execute();
        const before = await everything();
        plan = { step, when };
        await expect(booking.reportUsage(node, report)).rejects.toThrow(PlannedFailure);
        if (when !== "committed") expect(await everything()).toEqual(before);
        plan = undefined;
        const answer = await booking.reportUsage(node, report);
        expect(answer).toMatchObject({ ackedSeq: seq, duplicate: when === "committed" });
        sent += 2n;
        expect(await bookedBytes(database)).toEqual({
          rows: [sent * 100n, sent * 1000n],
          counters: [sent * 100n, sent * 1000n],
        });
      }
    }
    expect(store.steps).toBeGreaterThan(10);
  });

  test("a batch that comes to two replicas at once is booked by one of them", async () => {
    const bookings = replicas.map((replica) => bookingOn(replica));
    const [node = 0] = fleet.nodeIds;
    for (let seq = 1n; seq <= 20n; seq += 1n) {
      const report = usageReport([entryOf(fleet, 0), entryOf(fleet, 1)], { epoch: "e", seq });
      const answers = await Promise.all([...bookings, ...bookings].map((booking) => booking.reportUsage(node, report)));
      expect(answers.map(({ ackedSeq }) => ackedSeq)).toEqual([seq, seq, seq, seq]);
      expect(answers.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    }
    expect(await bookedBytes(database)).toEqual({ rows: [4000n, 40_000n], counters: [4000n, 40_000n] });
  });

  test("whatever the network repeats, delays and loses, and whichever transactions fail", async () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const random = createRandom(seed);
    const failures = random.fork();
    const plan = (): FailurePlan | undefined =>
      failures.below(4) > 0
        ? undefined
        : {
            step: 1 + failures.below(12),
            when: (["before", "after", "committed"] as const)[failures.below(3)] ?? "after",
          };
    const bookings = replicas.map((replica) => bookingOn(replica, failingStore(createUsageStore(replica), plan)));
    const wanted = { up: 0n, down: 0n };

    const runNode = async (nodeId: number, own: Random) => {
      const protocol = BigInt(fleet.protocolIds[fleet.nodeIds.indexOf(nodeId)] ?? 0);
      const batches = Array.from({ length: 12 }, (_, index) => {
        const entries = Array.from({ length: own.below(30) }, () => {
          const [up, down] = [BigInt(own.below(1e9)), BigInt(own.below(1e9))];
          wanted.up += up;
          wanted.down += down;
          const more = { nodeProtocolId: protocol, bytesUp: up, bytesDown: down };
          return entryOf(fleet, own.below(fleet.accountIds.length), {
            ...more,
            recordedAt: `2026-05-10T12:2${own.below(9)}:00Z`,
          });
        });
        return usageReport(entries, { epoch: "e", seq: BigInt(index + 1) });
      });
      const deliver = (report: ReportUsageRequest | undefined) =>
        report && own.of(bookings)?.reportUsage(nodeId, report);
      for (let next = 0; next < batches.length; ) {
        // One of any time: an old one that the network has kept, or one that has overtaken others.
        const stray = deliver(own.below(2) === 0 ? own.of(batches) : undefined)?.catch((error: unknown) => {
          if (
            !(
              error instanceof SequenceGap ||
              error instanceof PlannedFailure ||
              (error as Error).name === "EpochUnknown"
            )
          )
            throw error;
        });
        try {
          const answer = await deliver(batches[next]);
          // The agent does not hear every answer.
          if (answer !== undefined && own.below(4) > 0) next = Number(answer.ackedSeq);
        } catch (error) {
          if (!(error instanceof PlannedFailure)) throw error;
        }
        await stray;
      }
    };
    await Promise.all(fleet.nodeIds.map((nodeId) => runNode(nodeId, random.fork())));
    const sums = [wanted.up, wanted.down];
    expect([seed, await bookedBytes(database)]).toEqual([seed, { rows: sums, counters: sums }]);
  });
});
