import type { Transaction } from "kysely";
import { prepareBulk } from "../../../platform/storage/bulk.ts";
import type { Database } from "../../../platform/storage/database.ts";
import type { BegunPeriod, Claim, OutboundTotal } from "../../domain/usage/usage-store.ts";
import type { CoreSchema } from "../schema.ts";
import { added } from "./saturating.ts";

/** The counters of subscriptions and outbounds. */
export function createCounters(database: Database<CoreSchema>) {
  const addToSubscriptions = prepareBulk<CoreSchema>({
    columns: { id: "integer", up: "integer", down: "integer" },
    text: (rows) => `
      update subscription set
        bytes_up = ${added("subscription.bytes_up", "v.up")},
        bytes_down = ${added("subscription.bytes_down", "v.down")},
        period_bytes = ${added("subscription.period_bytes", "(v.up + v.down)")}
      from ${rows} where subscription.id = v.id`,
  });
  const addToOutbounds = prepareBulk<CoreSchema>({
    columns: { node_id: "integer", tag: "text", up: "integer", down: "integer" },
    text: (rows) => `
      update node_outbound set
        traffic_bytes_up = ${added("node_outbound.traffic_bytes_up", "v.up")},
        traffic_bytes_down = ${added("node_outbound.traffic_bytes_down", "v.down")}
      from ${rows} where node_outbound.node_id = v.node_id and node_outbound.tag = v.tag`,
  });
  const begin = database.prepare((db, { subscriptionId, startedAt, nextResetAt, refused }: BegunPeriod) =>
    db
      .updateTable("subscription")
      .set({ period_bytes: 0n, period_started_at: startedAt, next_reset_at: nextResetAt, refused })
      .where("id", "=", subscriptionId),
  );
  const refuse = database.prepare((db, { id, reason }: { id: number; reason: string }) =>
    db.updateTable("subscription").set({ refused: reason }).where("id", "=", id),
  );
  return {
    async addToSubscriptions(claims: readonly Claim[], tx: Transaction<CoreSchema>): Promise<void> {
      const values: unknown[] = [];
      for (const { subscriptionId, bytesUp, bytesDown } of claims) values.push(subscriptionId, bytesUp, bytesDown);
      await addToSubscriptions.run(values, tx);
    },
    async addToOutbounds(nodeId: number, totals: readonly OutboundTotal[], tx: Transaction<CoreSchema>): Promise<void> {
      await addToOutbounds.run(
        totals.flatMap(({ tag, bytesUp, bytesDown }) => [nodeId, tag, bytesUp, bytesDown]),
        tx,
      );
    },
    async beginPeriods(periods: readonly BegunPeriod[], tx: Transaction<CoreSchema>): Promise<void> {
      if (periods.length > 0) await begin.runMany(periods, tx);
    },
    async refuse(ids: readonly number[], reason: string, tx: Transaction<CoreSchema>): Promise<void> {
      const rows = ids.map((id) => ({ id, reason }));
      if (rows.length > 0) await refuse.runMany(rows, tx);
    },
  };
}
