import { sql } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import { latestReset, type ResetPeriod } from "../domain/fleet/reset-period.ts";
import type { SweepStore } from "../domain/sweeping.ts";
import { markNodes, usualDebounce } from "./publications.ts";
import type { CoreSchema } from "./schema.ts";

/** Finds and changes subscriptions that time has changed. */
export function createSweepStore(database: Database<CoreSchema>, debounce = usualDebounce): SweepStore {
  const { db } = database;
  const refuse = database.prepare((build, { id, refused }: { id: number; refused: string }) =>
    build.updateTable("subscription").set({ refused }).where("id", "=", id),
  );
  const begin = database.prepare(
    (build, { id, startedAt, endsAt }: { id: number; startedAt: number; endsAt: number | null }) =>
      build
        .updateTable("subscription")
        .set({ period_bytes: 0n, period_started_at: startedAt, next_reset_at: endsAt })
        .where("id", "=", id),
  );
  const end = database.prepare((build, { id, endsAt, now }: { id: number; endsAt: number; now: number }) =>
    build
      .updateTable("subscription")
      .set((set) => ({
        next_reset_at: endsAt,
        period_started_at: set
          .case()
          .when("period_started_at", ">", now)
          .then(sql<number>`cast(${now} as bigint)`)
          .else(set.ref("period_started_at"))
          .end(),
      }))
      .where("id", "=", id),
  );
  return {
    async due(now, most) {
      const expired = await db
        .selectFrom("subscription")
        .select("id")
        .where("expires_at", "<=", now)
        .where(sql<boolean>`refused <> 'expired'`)
        .limit(most)
        .execute();
      const over = await db
        .selectFrom("subscription")
        .select("id")
        .where("next_reset_at", "<=", now)
        .limit(most)
        .execute();
      return [...new Set([...expired, ...over].map(({ id }) => id))].slice(0, most);
    },
    async wrong(now, after) {
      const { last } = await db
        .selectFrom((from) =>
          from
            .selectFrom("subscription")
            .select("id")
            .where("id", ">", after)
            .orderBy("id")
            .limit(lookedAtOnce)
            .as("looked"),
        )
        .select(({ fn }) => fn.max("id").as("last"))
        .executeTakeFirstOrThrow();
      if (last === null) return { ids: [], upTo: undefined };
      const rows = await db
        .selectFrom("subscription")
        .select("id")
        .where("id", ">", after)
        .where("id", "<=", last)
        .where((where) =>
          where.or([
            where(
              "refused",
              "<>",
              sql<string>`case when expires_at <= ${now} then 'expired' when period_bytes >= quota_bytes then 'quota' else '' end`,
            ),
            ...endingPeriods.map((period) =>
              where.and([where("reset_period", "=", period), where("next_reset_at", ">", latestReset(period, now))]),
            ),
          ]),
        )
        .execute();
      return { ids: rows.map(({ id }) => id), upTo: last };
    },
    settle: (ids, now, change) =>
      database.transaction(
        async (tx) => {
          // Reads the rows as one who is going to write them: nobody books on them, or sweeps them, meanwhile.
          const rows = await tx
            .updateTable("subscription")
            .set(({ ref }) => ({ refused: ref("refused") }))
            .where("id", "in", ids)
            .returning(["id", "expires_at", "quota_bytes", "period_bytes", "reset_period", "next_reset_at", "refused"])
            .execute();
          const changes = rows.flatMap(
            (row) =>
              change({
                id: row.id,
                expiresAt: row.expires_at,
                quotaBytes: row.quota_bytes,
                periodBytes: row.period_bytes,
                resetPeriod: row.reset_period as ResetPeriod, // what the fleet's own API has written
                nextResetAt: row.next_reset_at,
                refused: row.refused,
              }) ?? [],
          );
          await begin.runMany(
            changes.flatMap(({ id, begun }) => (begun === undefined ? [] : [{ id, ...begun }])),
            tx,
          );
          await end.runMany(
            changes.flatMap(({ id, endsAt }) => (endsAt === undefined ? [] : [{ id, endsAt, now }])),
            tx,
          );
          const news = changes.filter(({ isNews }) => isNews);
          await refuse.runMany(news, tx);
          if (news.length === 0) return 0;
          const reasons = [...new Set(news.map(({ refused }) => refused || "renewed"))].sort();
          await markNodes(tx, { subscriptionIds: news.map(({ id }) => id) }, reasons.join("; "), now, debounce);
          return news.length;
        },
        { isolation: "read committed" },
      ),
  };
}

const endingPeriods = ["day", "week", "month", "year"] as const;
/** So many that looking at them keeps nobody waiting, where the database works in this thread. */
const lookedAtOnce = 5_000;
