import type { Transaction } from "kysely";
import { prepareBulk } from "../../../platform/storage/bulk.ts";
import type { Database } from "../../../platform/storage/database.ts";
import type { ResetPeriod } from "../../domain/fleet/reset-period.ts";
import type { Claim, NodeTraits, NotableSubscription } from "../../domain/usage/usage-store.ts";
import type { CoreSchema } from "../schema.ts";

/** What booking has to know of nodes, users and subscriptions. Nothing is cached: what was added a moment ago counts. */
export function createLookups(database: Database<CoreSchema>) {
  const traits = database.prepare((db, { nodeId }: { nodeId: number }) =>
    db
      .selectFrom("node")
      .select(["rate_limit_bps"])
      .select(({ selectFrom }) =>
        selectFrom("node as other")
          .select(({ fn }) => fn.countAll<number>().as("count"))
          .where("other.disabled", "=", 0)
          .where("other.enrolled_at", "is not", null)
          .as("serving"),
      )
      .where("id", "=", nodeId),
  );
  const protocols = database.prepare((db, { nodeId }: { nodeId: number }) =>
    db
      .selectFrom("node_protocol")
      .select("id")
      .where("node_id", "=", nodeId)
      .unionAll(db.selectFrom("former_node_protocol").select("id").where("node_id", "=", nodeId)),
  );
  const tags = database.prepare((db, { nodeId }: { nodeId: number }) =>
    db.selectFrom("node_outbound").select("tag").where("node_id", "=", nodeId),
  );
  const unknownAccounts = prepareBulk<CoreSchema, { id: number }>({
    columns: { id: "integer" },
    text: (rows) => `
      select v.id as id from ${rows} left join account on account.id = v.id where account.id is null`,
  });
  const notable = prepareBulk<CoreSchema, NotableRow>(
    database.engine === "postgres"
      ? {
          columns: claimColumns,
          // Locked in the order of their ids, like everywhere, so that nodes that share users wait for one another
          // and never in a circle.
          text: (rows) => `
            with claimed as (select * from ${rows}), s as materialized (
              select subscription.* from subscription join claimed on claimed.id = subscription.id
              order by subscription.id for no key update of subscription
            )
            select ${notableFields} from claimed as v left join s on s.id = v.id where ${isNotable}`,
        }
      : {
          columns: claimColumns,
          alike: ["at"],
          text: (rows) => `
            select ${notableFields} from ${rows} left join subscription as s on s.id = v.id where ${isNotable}`,
        },
  );
  return {
    async node(nodeId: number, tx: Transaction<CoreSchema>): Promise<NodeTraits> {
      const node = await traits.first({ nodeId }, tx);
      const known = await protocols.all({ nodeId }, tx);
      return {
        protocols: new Set(known.map(({ id }) => id)),
        bitsPerSecond: node?.rate_limit_bps ?? null,
        nodesServing: Math.max(1, node?.serving ?? 1),
      };
    },
    async outboundTags(nodeId: number, tx: Transaction<CoreSchema>): Promise<ReadonlySet<string>> {
      return new Set((await tags.all({ nodeId }, tx)).map(({ tag }) => tag));
    },
    async unknownAccounts(ids: readonly number[], tx: Transaction<CoreSchema>): Promise<ReadonlySet<number>> {
      return new Set((await unknownAccounts.all(ids, tx)).map(({ id }) => id));
    },
    async notable(
      claims: readonly Claim[],
      now: number,
      tx: Transaction<CoreSchema>,
    ): Promise<readonly NotableSubscription[]> {
      const values: unknown[] = [];
      for (const { subscriptionId, accountId, bytesUp, bytesDown } of claims) {
        values.push(subscriptionId, accountId, bytesUp + bytesDown, now);
      }
      return (await notable.all(values, tx)).map((row) => ({
        id: row.id,
        accountId: row.account_id,
        quotaBytes: row.quota_bytes,
        periodBytes: row.period_bytes ?? 0n,
        expiresAt: row.expires_at,
        refused: row.refused ?? "",
        resetPeriod: row.reset_period ?? "never",
        nextResetAt: row.next_reset_at,
      }));
    },
  };
}

/** Of a subscription that is unknown all but the id is null. */
interface NotableRow {
  readonly id: number;
  readonly account_id: number | null;
  readonly quota_bytes: bigint | null;
  readonly period_bytes: bigint | null;
  readonly expires_at: number | null;
  readonly refused: string | null;
  readonly reset_period: ResetPeriod | null;
  readonly next_reset_at: number | null;
}

const claimColumns = { id: "integer", account_id: "integer", added: "integer", at: "integer" } as const;
const notableFields = `
  v.id as id, s.account_id as account_id, s.quota_bytes as quota_bytes, s.period_bytes as period_bytes,
  s.expires_at as expires_at, s.refused as refused, s.reset_period as reset_period, s.next_reset_at as next_reset_at`;
// Unknown, another's, at the end of its period, or so close to its quota that a lease may be smaller than the config's,
// which is a twentieth of the quota between 16 MiB and 1 GiB, for 8 nodes.
const isNotable = `
  s.id is null or s.account_id <> v.account_id or s.next_reset_at <= v.at or (
    s.quota_bytes is not null and s.quota_bytes - s.period_bytes - v.added < 8589934592 and (
      (s.quota_bytes - s.period_bytes - v.added) / 2 < s.quota_bytes / 5
      or s.quota_bytes - s.period_bytes - v.added < 134217728
    )
  )`;
