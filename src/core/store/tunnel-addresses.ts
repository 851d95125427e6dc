import { type Kysely, sql, type Transaction } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import { ForeignKeyViolation } from "../../platform/storage/errors.ts";
import { firstNumber } from "../domain/wireguard/address-pool.ts";
import type { CoreSchema } from "./schema.ts";

/** The addresses of subscriptions in the ranges of node protocols of WireGuard. */
export interface TunnelAddresses {
  /**
   * Gives an address of a node protocol to every subscription that is to have one and has none, or only to those of
   * `subscriptionIds` where they are few; returns how many it had none for. An address stays a subscription's as long as
   * that lives; one that is free again is given only after all that nobody has had. When there are no more, those are
   * taken back whose subscriptions have no access any more.
   */
  give(nodeProtocolId: number, subscriptionIds?: readonly number[]): Promise<number>;
  /** The numbers of a node protocol's addresses, by subscription. */
  numbersOf(nodeProtocolId: number): Promise<ReadonlyMap<number, number>>;
}

/** Addresses in the database, where it is decided who has which. */
export function createTunnelAddresses(database: Pick<Database<CoreSchema>, "db" | "transaction">): TunnelAddresses {
  return {
    async give(nodeProtocolId, subscriptionIds) {
      // To look at those who are named, when they are few, is much less than to look at all.
      const few = subscriptionIds && subscriptionIds.length <= rowsAtOnce ? subscriptionIds : undefined;
      if ((await withoutAddress(database.db, nodeProtocolId, few)).length === 0) return 0;
      for (let tries = 1; ; tries++) {
        try {
          // Each statement sees what others have committed, and the first one makes them wait: they do not conflict.
          return await database.transaction((tx) => giveAll(tx, nodeProtocolId, few), { isolation: "read committed" });
        } catch (error) {
          // A subscription was deleted after it was found.
          if (!(error instanceof ForeignKeyViolation) || tries === mostTries) throw error;
        }
      }
    },
    async numbersOf(nodeProtocolId) {
      const rows = await database.db
        .selectFrom("tunnel_address")
        .select(["subscription_id", "number"])
        .where("node_protocol_id", "=", nodeProtocolId)
        .execute();
      return new Map(rows.map(({ subscription_id, number }) => [subscription_id, number]));
    },
  };
}

async function giveAll(
  tx: Transaction<CoreSchema>,
  nodeProtocolId: number,
  few: readonly number[] | undefined,
): Promise<number> {
  const pool = await tx
    .updateTable("tunnel_pool")
    .set(({ ref }) => ({ given_number: ref("given_number") }))
    .where("node_protocol_id", "=", nodeProtocolId)
    .returning(["given_number", "last_number"])
    .executeTakeFirst();
  if (pool === undefined) return 0;
  const waiting = await withoutAddress(tx, nodeProtocolId, few);
  const free = async () => {
    const { given_number, last_number } = pool;
    // Mostly nobody has had those that come next, and no others have to be looked at.
    const enough = given_number + waiting.length;
    const next = await takenNumbers(tx, nodeProtocolId, given_number + 1, enough);
    const isRoom = next.size === 0 && enough <= last_number;
    const taken = isRoom ? next : await takenNumbers(tx, nodeProtocolId, firstNumber, last_number);
    return freeNumbers(taken, given_number, last_number, waiting.length);
  };
  let numbers = await free();
  if (numbers.length < waiting.length && (await takeBack(tx, nodeProtocolId))) numbers = await free();
  for (let at = 0; at < numbers.length; at += rowsAtOnce) {
    const rows = numbers.slice(at, at + rowsAtOnce).map((number, index) => ({
      subscription_id: waiting[at + index] ?? 0,
      node_protocol_id: nodeProtocolId,
      number,
    }));
    await tx.insertInto("tunnel_address").values(rows).execute();
  }
  const given_number = numbers.at(-1);
  if (given_number !== undefined) {
    await tx.updateTable("tunnel_pool").set({ given_number }).where("node_protocol_id", "=", nodeProtocolId).execute();
  }
  return waiting.length - numbers.length;
}

async function takenNumbers(
  tx: Transaction<CoreSchema>,
  nodeProtocolId: number,
  first: number,
  last: number,
): Promise<ReadonlySet<number>> {
  const taken = await tx
    .selectFrom("tunnel_address")
    .select("number")
    .where("node_protocol_id", "=", nodeProtocolId)
    .where("number", ">=", first)
    .where("number", "<=", last)
    .execute();
  return new Set(taken.map(({ number }) => number));
}

/** Up to `count` numbers that are not taken, from behind the one that was given last, and around. */
function freeNumbers(taken: ReadonlySet<number>, givenNumber: number, lastNumber: number, count: number): number[] {
  const numbers: number[] = [];
  const from = Math.min(Math.max(givenNumber + 1, firstNumber), lastNumber + 1);
  for (let number = from; number <= lastNumber && numbers.length < count; number++) {
    if (!taken.has(number)) numbers.push(number);
  }
  for (let number = firstNumber; number < from && numbers.length < count; number++) {
    if (!taken.has(number)) numbers.push(number);
  }
  return numbers;
}

/** Takes addresses back from subscriptions without access. True: there were some. */
async function takeBack(tx: Transaction<CoreSchema>, nodeProtocolId: number): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("tunnel_address")
    .where("node_protocol_id", "=", nodeProtocolId)
    .where("subscription_id", "not in", havingAccess(tx, nodeProtocolId).select("subscription.id"))
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

/** The subscriptions, of these or of all, that are to have an address and have none. */
async function withoutAddress(
  db: Kysely<CoreSchema>,
  nodeProtocolId: number,
  few: readonly number[] | undefined,
): Promise<number[]> {
  if (few?.length === 0) return [];
  const rows = await havingAccess(db, nodeProtocolId)
    .select("subscription.id")
    .$if(few !== undefined, (query) => query.where("subscription.id", "in", few ?? []))
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom("tunnel_address")
            .select("number")
            .whereRef("tunnel_address.subscription_id", "=", "subscription.id")
            .where("tunnel_address.node_protocol_id", "=", nodeProtocolId),
        ),
      ),
    )
    .orderBy("subscription.id")
    .execute();
  return rows.map(({ id }) => id);
}

/** How many subscriptions are to have an address of a node protocol. */
export async function countHavingAccess(db: Kysely<CoreSchema>, nodeProtocolId: number): Promise<number> {
  const { count } = await havingAccess(db, nodeProtocolId)
    .select(({ fn }) => fn.countAll<number>().as("count"))
    .executeTakeFirstOrThrow();
  return count;
}

/** The subscriptions that have a node protocol of WireGuard and a key for it, whether they may use it now or not. */
function havingAccess(db: Kysely<CoreSchema>, nodeProtocolId: number) {
  return db
    .selectFrom("subscription")
    .innerJoin("link", (join) =>
      join.onRef("link.subscription_id", "=", "subscription.id").on("link.protocol", "=", sql.lit("wireguard")),
    )
    .where(({ or, eb, exists, selectFrom }) =>
      or([
        eb("subscription.all_protocols", "=", sql.lit(1)),
        exists(
          selectFrom("subscription_protocol")
            .select("node_protocol_id")
            .whereRef("subscription_protocol.subscription_id", "=", "subscription.id")
            .where("subscription_protocol.node_protocol_id", "=", nodeProtocolId),
        ),
      ]),
    );
}

const mostTries = 5;

// A statement takes only so many values.
const rowsAtOnce = 2_000;
