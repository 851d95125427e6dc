import { createInTurn } from "../../../platform/in-turn.ts";
import { openDatabase } from "../../../platform/storage/database.ts";
import { createCoalescing } from "./coalescing.ts";
import { createCounting } from "./counting.ts";
import { forgetGap, gapsIn } from "./gaps.ts";
import { createKeptFaults } from "./kept-faults.ts";
import { int64Columns, migrations, type SpoolSchema } from "./schema.ts";
import { createSealing } from "./sealing.ts";
import type { Spool, SpoolOptions } from "./spool.ts";
import { unacknowledgedOf } from "./unacknowledged.ts";
import { unseal } from "./unsealing.ts";

/** Opens a spool, and makes it when it is missing. One that is there is opened on a disk that is full as well. */
export async function openSpool({ file, clock, maxBytes = 256 << 20 }: SpoolOptions): Promise<Spool> {
  const database = await openDatabase<SpoolSchema>({ file, migrations, int64: int64Columns, alone: true });
  const counting = await createCounting(database);
  const sealing = await createSealing(database, clock);
  const coalesce = createCoalescing(database, clock.now, maxBytes);
  // One thing at a time: what is counted and what is sealed are the same rows.
  const inTurn = createInTurn();
  const faults = createKeptFaults(database);
  return {
    count: (reading, how) =>
      inTurn(async () => {
        const counted = await counting.count(reading, how);
        await coalesce();
        return counted;
      }),
    noteGap: (gap, isCertain) => inTurn(() => counting.noteGap(gap, isCertain)),
    gaps: () => inTurn(() => gapsIn(database)),
    forgetGap: (gap) => inTurn(() => forgetGap(database, gap)),
    note: (events) => inTurn(() => sealing.note(events)),
    next: (kind, options) => inTurn(() => sealing.next(kind, options)),
    acknowledge: (kind, seq) => inTurn(() => sealing.acknowledge(kind, seq)),
    beginEpoch: (kind) => inTurn(() => sealing.beginEpoch(kind)),
    declareLost: (kind, from) => inTurn(() => sealing.declareLost(kind, from)),
    unseal: (kind, entries) => inTurn(() => unseal(database, kind, entries)),
    unacknowledged: () => inTurn(() => unacknowledgedOf(database)),
    status: () => inTurn(() => sealing.status()),
    faults: {
      read: () => inTurn(() => faults.read()),
      keep: (fault) => inTurn(() => faults.keep(fault)),
      forget: (id) => inTurn(() => faults.forget(id)),
    },
    close: () => inTurn(() => database.close()),
  };
}
