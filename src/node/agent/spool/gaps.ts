import type { Insertable, Transaction } from "kysely";
import type { Database } from "../../../platform/storage/database.ts";
import type { SpoolSchema } from "./schema.ts";
import type { CounterGap } from "./spool.ts";

/** Notes which incarnation of an engine was read last, and whether its end is accounted for. */
export async function setLife(tx: Transaction<SpoolSchema>, life: Insertable<SpoolSchema["life"]>): Promise<void> {
  await tx
    .insertInto("life")
    .values(life)
    .onConflict((conflict) => conflict.column("engine").doUpdateSet(life))
    .execute();
}

/** The end of an incarnation is accounted for. */
export async function endLife(
  tx: Transaction<SpoolSchema>,
  { engine, incarnation }: Pick<CounterGap, "engine" | "incarnation">,
): Promise<void> {
  await tx
    .updateTable("life")
    .set({ ended: 1 })
    .where("engine", "=", engine)
    .where("incarnation", "=", incarnation)
    .execute();
}

/** Remembers a gap, once. */
export async function addGap(tx: Transaction<SpoolSchema>, { engine, incarnation, readAt }: CounterGap): Promise<void> {
  await tx
    .insertInto("gap")
    .values({ engine, incarnation, read_at: readAt ?? null })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Gaps that are remembered. */
export async function gapsIn({ db }: Database<SpoolSchema>): Promise<CounterGap[]> {
  const rows = await db.selectFrom("gap").selectAll().execute();
  return rows.map(({ engine, incarnation, read_at }) => ({ engine, incarnation, readAt: read_at ?? undefined }));
}

/** Remembers one no longer. */
export async function forgetGap(
  { db }: Database<SpoolSchema>,
  { engine, incarnation }: Pick<CounterGap, "engine" | "incarnation">,
): Promise<void> {
  await db.deleteFrom("gap").where("engine", "=", engine).where("incarnation", "=", incarnation).execute();
}
