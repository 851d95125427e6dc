import { create } from "@bufbuild/protobuf";
import { type Expression, type Kysely, type RawBuilder, type Selectable, type SqlBool, sql } from "kysely";
import {
  ResetPeriod,
  ResetPeriodSchema,
  type Subscription,
  type SubscriptionLink,
  SubscriptionLinkSchema,
  SubscriptionSchema,
  SubscriptionState,
} from "../../../../gen/garrison/core/v1/subscriptions_pb.ts";
import type { ResetPeriod as Period } from "../../domain/fleet/reset-period.ts";
import { refusalOf } from "../../domain/fleet/subscription-state.ts";
import type { CoreSchema } from "../schema.ts";
import { timeOf, wordsOf } from "./message-values.ts";
import { protocolWords } from "./protocol-words.ts";

/** A subscription as it is kept, and whether its user is enabled. */
export type SubscriptionRow = Selectable<CoreSchema["subscription"]> & { readonly user_enabled: number };

/** A column of a subscription's user. Not a join: SQLite would begin with the users, and sort all of them. */
export function ofUser<T>(column: "enabled" | "name"): RawBuilder<T> {
  return sql<T>`(select ${sql.ref(`account.${column}`)} from account where account.id = subscription.account_id)`;
}

/** Subscriptions, and whether their users are enabled. */
export function subscriptionQuery(db: Kysely<CoreSchema>) {
  return db.selectFrom("subscription").selectAll("subscription").select(ofUser<number>("enabled").as("user_enabled"));
}

/** A subscription that is there, as operators see it. */
export async function readSubscription(db: Kysely<CoreSchema>, id: number, now: number): Promise<Subscription> {
  const row = await subscriptionQuery(db).where("subscription.id", "=", id).executeTakeFirstOrThrow();
  const [subscription] = await subscriptionsOf(db, [row], now);
  if (subscription === undefined) throw new TypeError("one row makes one message");
  return subscription;
}

/** Subscriptions as operators see them. */
export async function subscriptionsOf(
  db: Kysely<CoreSchema>,
  rows: readonly SubscriptionRow[],
  now: number,
): Promise<Subscription[]> {
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const links = await db
    .selectFrom("link")
    .select(["subscription_id", "protocol", "enabled"])
    .where("subscription_id", "in", ids)
    .execute();
  const protocols = await db
    .selectFrom("subscription_protocol")
    .selectAll()
    .where("subscription_id", "in", ids)
    .orderBy("node_protocol_id")
    .execute();
  const linksOf = Map.groupBy(links, ({ subscription_id }) => subscription_id);
  const protocolsOf = Map.groupBy(protocols, ({ subscription_id }) => subscription_id);
  return rows.map((row) =>
    create(SubscriptionSchema, {
      id: BigInt(row.id),
      userId: BigInt(row.account_id),
      name: row.name,
      enabled: row.enabled === 1,
      state: stateOf(row, now),
      expiresAt: timeOf(row.expires_at),
      quotaBytes: row.quota_bytes ?? 0n,
      resetPeriod: periodWords.value(row.reset_period),
      periodStartedAt: timeOf(row.period_started_at),
      nextResetAt: timeOf(row.next_reset_at),
      deviceLimit: row.device_limit ?? 0,
      allProtocols: row.all_protocols === 1,
      nodeProtocolIds: protocolsOf.get(row.id)?.map(({ node_protocol_id }) => BigInt(node_protocol_id)) ?? [],
      bytesUp: row.bytes_up,
      bytesDown: row.bytes_down,
      periodBytes: row.period_bytes,
      links: (linksOf.get(row.id) ?? []).map(linkOf).sort((a, b) => a.protocol - b.protocol),
      createdAt: timeOf(row.created_at),
      tokenRotatedAt: timeOf(row.token_rotated_at),
      failOpen: row.fail_open === 1,
    }),
  );
}

/** Subscriptions in a state: the same as their messages tell, in SQL. */
export function whereState(state: SubscriptionState, now: number): Expression<SqlBool> {
  const user = ofUser<number>("enabled");
  const enabled = sql<SqlBool>`enabled = 1 and ${user} = 1`;
  const over = sql<SqlBool>`expires_at is not null and expires_at <= ${now}`;
  const used = sql<SqlBool>`quota_bytes is not null and period_bytes >= quota_bytes`;
  switch (state) {
    case SubscriptionState.DISABLED:
      return sql<SqlBool>`(enabled = 0 or ${user} = 0)`;
    case SubscriptionState.EXPIRED:
      return sql<SqlBool>`${enabled} and (${over})`;
    case SubscriptionState.OVER_QUOTA:
      return sql<SqlBool>`${enabled} and not (${over}) and (${used})`;
    default:
      return sql<SqlBool>`${enabled} and not (${over}) and not (${used})`;
  }
}

/** How rows spell a reset period. */
export function periodOf(value: ResetPeriod): Period {
  return periods[value] ?? "never";
}

const periods: Readonly<Partial<Record<ResetPeriod, Period>>> = {
  [ResetPeriod.DAY]: "day",
  [ResetPeriod.WEEK]: "week",
  [ResetPeriod.MONTH]: "month",
  [ResetPeriod.YEAR]: "year",
};

const periodWords = wordsOf(ResetPeriodSchema);

function stateOf(row: SubscriptionRow, now: number): SubscriptionState {
  if (row.enabled === 0 || row.user_enabled === 0) return SubscriptionState.DISABLED;
  const terms = { expiresAt: row.expires_at, quotaBytes: row.quota_bytes, periodBytes: row.period_bytes };
  const refusal = refusalOf(terms, now);
  if (refusal === "expired") return SubscriptionState.EXPIRED;
  return refusal === "quota" ? SubscriptionState.OVER_QUOTA : SubscriptionState.ACTIVE;
}

function linkOf({ protocol, enabled }: { protocol: string; enabled: number }): SubscriptionLink {
  return create(SubscriptionLinkSchema, { protocol: protocolWords.value(protocol), enabled: enabled === 1 });
}
