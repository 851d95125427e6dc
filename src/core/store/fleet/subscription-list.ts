import { create } from "@bufbuild/protobuf";
import {
  type ListSubscriptionsRequest,
  ListSubscriptionsRequestSchema,
  type ListSubscriptionsResponse,
  ListSubscriptionsResponseSchema,
  type Subscription,
  SubscriptionOrder,
} from "../../../../gen/garrison/core/v1/subscriptions_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { type PageKey, pageOf } from "../../domain/fleet/page.ts";
import { Unknown } from "../../domain/fleet/situations.ts";
import type { CoreSchema } from "../schema.ts";
import { msOf } from "./message-values.ts";
import { anyContains, beyond, idOf } from "./sql-parts.ts";
import {
  ofUser,
  readSubscription,
  type SubscriptionRow,
  subscriptionQuery,
  subscriptionsOf,
  whereState,
} from "./subscription-message.ts";

/** Reads subscriptions. */
export interface SubscriptionList {
  get(id: bigint): Promise<Subscription>;
  list(request: ListSubscriptionsRequest): Promise<ListSubscriptionsResponse>;
}

/** Reads subscriptions from the database. `now` is in milliseconds since 1970. */
export function createSubscriptionList({ db }: Pick<Database<CoreSchema>, "db">, now: () => number): SubscriptionList {
  return {
    async get(id) {
      const row = await db.selectFrom("subscription").select("id").where("id", "=", idOf(id)).executeTakeFirst();
      if (row === undefined) throw new Unknown("SUBSCRIPTION", id);
      return readSubscription(db, row.id, now());
    },

    async list(request) {
      const order = orders.get(request.order) ?? byId;
      const page = pageOf(ListSubscriptionsRequestSchema, request, order.shape);
      let query = subscriptionQuery(db).limit(page.size + 1);
      for (const column of order.columns) query = query.orderBy(column, order.direction);
      if (page.after !== undefined) {
        query = query.where(beyond(order.columns, order.bound(page.after), order.direction));
      }
      if (order === byExpiry) query = query.where("expires_at", "is not", null);
      if (request.userId !== 0n) query = query.where("account_id", "=", idOf(request.userId));
      if (request.state !== 0) query = query.where(whereState(request.state, now()));
      const before = msOf(request.expiresBefore);
      if (before !== null) query = query.where("expires_at", "<", before);
      if (request.query !== "") query = query.where(anyContains(["name", ofUser("name")], request.query));
      const { rows, nextPageToken } = page.cut(await query.execute(), order.keyOf);
      const subscriptions = await subscriptionsOf(db, rows, now());
      return create(ListSubscriptionsResponseSchema, { subscriptions, nextPageToken });
    },
  };
}

interface Order {
  readonly columns: readonly ("subscription.id" | "expires_at" | "period_bytes")[];
  readonly direction: "asc" | "desc";
  readonly shape: readonly ("number" | "string")[];
  keyOf(row: SubscriptionRow): PageKey;
  /** The key as the columns are compared with it. */
  bound(key: PageKey): readonly (number | string | bigint)[];
}

const byId: Order = {
  columns: ["subscription.id"],
  direction: "asc",
  shape: ["number"],
  keyOf: ({ id }) => [id],
  bound: (key) => key,
};
const byExpiry: Order = {
  columns: ["expires_at", "subscription.id"],
  direction: "asc",
  shape: ["number", "number"],
  keyOf: ({ expires_at, id }) => [expires_at ?? 0, id],
  bound: (key) => key,
};
const byUse: Order = {
  columns: ["period_bytes", "subscription.id"],
  direction: "desc",
  shape: ["string", "number"],
  keyOf: ({ period_bytes, id }) => [`${period_bytes}`, id],
  bound: ([bytes, id]) => [bytesIn(bytes), id ?? 0],
};

const orders: ReadonlyMap<SubscriptionOrder, Order> = new Map([
  [SubscriptionOrder.ID, byId],
  [SubscriptionOrder.ID_DESC, { ...byId, direction: "desc" }],
  [SubscriptionOrder.EXPIRES_AT, byExpiry],
  [SubscriptionOrder.PERIOD_BYTES_DESC, byUse],
]);

// A token that somebody has made up may hold any text.
function bytesIn(text: unknown): bigint {
  return typeof text === "string" && /^\d{1,18}$/.test(text) ? BigInt(text) : 0n;
}
