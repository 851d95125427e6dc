import { create } from "@bufbuild/protobuf";
import type { Selectable, Transaction } from "kysely";
import {
  type CreateUserRequest,
  type DeleteUserRequest,
  type ListUsersRequest,
  ListUsersRequestSchema,
  type ListUsersResponse,
  ListUsersResponseSchema,
  type UpdateUserRequest,
  UpdateUserRequestSchema,
  type User,
  UserOrder,
  UserSchema,
} from "../../../../gen/garrison/core/v1/users_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import { Invalid, NotNow, Unknown } from "../../domain/fleet/situations.ts";
import { fieldsToChange } from "../../domain/fleet/update-mask.ts";
import type { CoreSchema } from "../schema.ts";
import { changedColumns } from "./changed-columns.ts";
import type { MakeChange } from "./changes.ts";
import { timeOf } from "./message-values.ts";
import { nameTaken } from "./name-taken.ts";
import { anyContains, beyond, idOf } from "./sql-parts.ts";

/** The users of the fleet. */
export interface UserStore {
  create(actor: string, request: CreateUserRequest): Promise<User>;
  get(id: bigint): Promise<User>;
  list(request: ListUsersRequest): Promise<ListUsersResponse>;
  update(actor: string, request: UpdateUserRequest): Promise<User>;
  remove(actor: string, request: DeleteUserRequest): Promise<void>;
}

/** The users in the database. */
export function createUserStore({ db }: Pick<Database<CoreSchema>, "db">, change: MakeChange): UserStore {
  return {
    create: (actor, { name, note, disabled }) =>
      change(actor, async ({ tx, at, audit }) => {
        const row = await tx
          .insertInto("account")
          .values({ name, note, enabled: disabled ? 0 : 1, created_at: at })
          .returningAll()
          .executeTakeFirstOrThrow()
          .catch(nameTaken("user", name));
        await audit("user.create", `user:${row.id}`, { name, enabled: !disabled });
        return userOf(row);
      }),

    async get(id) {
      const row = await db.selectFrom("account").selectAll().where("id", "=", idOf(id)).executeTakeFirst();
      if (row === undefined) throw new Unknown("USER", id);
      return userOf(row);
    },

    async list(request) {
      const order = orders.get(request.order) ?? byId;
      const page = pageOf(ListUsersRequestSchema, request, [order.column === "name" ? "string" : "number"]);
      let query = db
        .selectFrom("account")
        .selectAll()
        .orderBy(order.column, order.direction)
        .limit(page.size + 1);
      if (page.after !== undefined) query = query.where(beyond([order.column], page.after, order.direction));
      if (request.query !== "") query = query.where(anyContains(["name", "note"], request.query));
      if (request.enabled !== undefined) query = query.where("enabled", "=", request.enabled ? 1 : 0);
      const { rows, nextPageToken } = page.cut(await query.execute(), (row) => [row[order.column]]);
      return create(ListUsersResponseSchema, { users: rows.map(userOf), nextPageToken });
    },

    update: (actor, request) =>
      change(actor, async ({ tx, audit, publish }) => {
        const before = await find(tx, request.id);
        const fields = fieldsToChange(UpdateUserRequestSchema, request);
        if (fields.has("name") && !request.name) throw new Invalid("FIELD_INVALID", "name: a user has one");
        const next = {
          name: fields.has("name") && request.name ? request.name : before.name,
          note: fields.has("note") ? (request.note ?? "") : before.note,
          enabled: fields.has("enabled") ? Number(request.enabled ?? false) : before.enabled,
        };
        const changed = changedColumns(before, next);
        if (changed.length === 0) return userOf(before);
        await tx
          .updateTable("account")
          .set(next)
          .where("id", "=", before.id)
          .execute()
          .catch(nameTaken("user", next.name));
        await audit("user.update", `user:${before.id}`, { changed, enabled: next.enabled === 1 });
        if (next.enabled !== before.enabled) {
          publish(
            { subscriptionIds: await subscriptionsOf(tx, before.id) },
            `user ${before.id} ${next.enabled === 1 ? "enabled" : "disabled"}`,
          );
        }
        return userOf({ ...before, ...next });
      }),

    remove: (actor, { id, force }) =>
      change(actor, async ({ tx, audit, publish }) => {
        const row = await find(tx, id);
        const subscriptionIds = await subscriptionsOf(tx, row.id);
        if (subscriptionIds.length > 0 && !force) {
          throw new NotNow(
            "USER_IN_USE",
            `the user has ${subscriptionIds.length} subscriptions: delete them first, or say force to delete them too`,
          );
        }
        await tx.deleteFrom("account").where("id", "=", row.id).execute();
        // That they go is told of a user whom nobody knows any more.
        await tx.deleteFrom("online_session").where("account_id", "=", row.id).execute();
        await audit("user.delete", `user:${row.id}`, { name: row.name, subscriptions: subscriptionIds });
        if (subscriptionIds.length > 0) publish({ subscriptionIds }, `user ${row.id} deleted`);
      }),
  };
}

/** The ids of a user's subscriptions. */
async function subscriptionsOf(tx: Transaction<CoreSchema>, userId: number): Promise<number[]> {
  const rows = await tx
    .selectFrom("subscription")
    .select("id")
    .where("account_id", "=", userId)
    .orderBy("id")
    .execute();
  return rows.map(({ id }) => id);
}

async function find(tx: Transaction<CoreSchema>, id: bigint): Promise<AccountRow> {
  const row = await tx.selectFrom("account").selectAll().where("id", "=", idOf(id)).executeTakeFirst();
  if (row === undefined) throw new Unknown("USER", id);
  return row;
}

type AccountRow = Selectable<CoreSchema["account"]>;

interface Order {
  readonly column: "id" | "name";
  readonly direction: "asc" | "desc";
}

const byId: Order = { column: "id", direction: "asc" };
const orders: ReadonlyMap<UserOrder, Order> = new Map([
  [UserOrder.ID, byId],
  [UserOrder.ID_DESC, { column: "id", direction: "desc" }],
  [UserOrder.NAME, { column: "name", direction: "asc" }],
]);

function userOf({ id, name, note, enabled, created_at }: AccountRow): User {
  return create(UserSchema, { id: BigInt(id), name, note, enabled: enabled === 1, createdAt: timeOf(created_at) });
}
