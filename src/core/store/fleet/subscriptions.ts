import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import type { Transaction, Updateable } from "kysely";
import {
  type CreateSubscriptionRequest,
  CreateSubscriptionRequestSchema,
  ResetPeriod,
  type Subscription,
  type UpdateSubscriptionLinkRequest,
  type UpdateSubscriptionRequest,
  UpdateSubscriptionRequestSchema,
} from "../../../../gen/garrison/core/v1/subscriptions_pb.ts";
import type { VpnProtocol } from "../../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import type { Random } from "../../domain/fleet/random.ts";
import { nextReset } from "../../domain/fleet/reset-period.ts";
import { RequestIdReused, Unknown } from "../../domain/fleet/situations.ts";
import { refusalOf } from "../../domain/fleet/subscription-state.ts";
import { hashSubscriptionToken, makeSubscriptionToken } from "../../domain/fleet/subscription-token.ts";
import { fieldsToChange } from "../../domain/fleet/update-mask.ts";
import type { CoreSchema } from "../schema.ts";
import type { Change, MakeChange } from "./changes.ts";
import { addLinks, linkProtocols, replaceLinks } from "./links.ts";
import { msOf } from "./message-values.ts";
import { idOf } from "./sql-parts.ts";
import { periodOf, readSubscription, type SubscriptionRow, subscriptionQuery } from "./subscription-message.ts";
import { setNodeProtocols } from "./subscription-protocols.ts";

/** A subscription, and the token in its link, which is shown this once. */
interface ShownSubscription {
  readonly subscription: Subscription;
  readonly token: string;
}

/** What changes subscriptions. */
export interface SubscriptionStore {
  create(actor: string, request: CreateSubscriptionRequest): Promise<ShownSubscription>;
  update(actor: string, request: UpdateSubscriptionRequest): Promise<Subscription>;
  remove(actor: string, id: bigint): Promise<void>;
  rotateToken(actor: string, id: bigint): Promise<ShownSubscription>;
  /** Replaces credentials: of all protocols when none is named. */
  rotateLinks(actor: string, id: bigint, protocols: readonly VpnProtocol[]): Promise<Subscription>;
  updateLink(actor: string, request: UpdateSubscriptionLinkRequest): Promise<Subscription>;
  resetUsage(actor: string, id: bigint): Promise<Subscription>;
}

/** Options of {@link createSubscriptionStore}. */
export interface SubscriptionStoreOptions {
  change: MakeChange;
  random: Random;
}

/** Changes subscriptions in the database. */
export function createSubscriptionStore({ change, random }: SubscriptionStoreOptions): SubscriptionStore {
  /** A change of one subscription that nodes are to hear of, unless nothing changes: then `body` has no details. */
  const changeOne = (
    actor: string,
    id: bigint,
    action: string,
    body: (made: Change, row: SubscriptionRow) => Promise<Readonly<Record<string, unknown>> | undefined>,
  ) =>
    change(actor, async (made) => {
      const row = await find(made.tx, id);
      const details = await body(made, row);
      if (details !== undefined) {
        await made.audit(`subscription.${action}`, `subscription:${row.id}`, details);
        made.publish({ subscriptionIds: [row.id] }, `subscription ${row.id}: ${action}`);
      }
      return readSubscription(made.tx, row.id, made.at);
    });
  const renewToken = async ({ tx, at }: Change, id: number) => {
    const token = makeSubscriptionToken(random);
    const token_hash = hashSubscriptionToken(token);
    await tx.updateTable("subscription").set({ token_hash, token_rotated_at: at }).where("id", "=", id).execute();
    return token;
  };

  return {
    create: (actor, request) =>
      change(actor, async (made) => {
        const { tx, at, audit, publish } = made;
        const known = await findByRequest(tx, request);
        if (known !== undefined) {
          const token = await renewToken(made, known);
          await audit("subscription.rotate-token", `subscription:${known}`, { requestId: request.requestId });
          return { subscription: await readSubscription(tx, known, at), token };
        }
        const account = await tx
          .selectFrom("account")
          .select("id")
          .where("id", "=", idOf(request.userId))
          .executeTakeFirst();
        if (account === undefined) throw new Unknown("USER", request.userId);
        const token = makeSubscriptionToken(random);
        const period = periodOf(request.resetPeriod);
        const terms = { expiresAt: msOf(request.expiresAt), quotaBytes: request.quotaBytes || null };
        const { id } = await tx
          .insertInto("subscription")
          .values({
            account_id: account.id,
            name: request.name,
            enabled: Number(!request.disabled),
            created_at: at,
            token_hash: hashSubscriptionToken(token),
            token_rotated_at: at,
            expires_at: terms.expiresAt,
            quota_bytes: terms.quotaBytes,
            reset_period: period,
            period_started_at: at,
            next_reset_at: nextReset(period, at),
            device_limit: request.deviceLimit || null,
            fail_open: Number(request.failOpen),
            all_protocols: Number(request.nodeProtocolIds.length === 0),
            refused: refusalOf({ ...terms, periodBytes: 0n }, at),
            request_id: request.requestId || null,
            request_digest: request.requestId === "" ? "" : digestOf(request),
          })
          .returning("id")
          .executeTakeFirstOrThrow();
        await setNodeProtocols(tx, id, request.nodeProtocolIds);
        await addLinks(tx, id, linkProtocols(request.protocols), random);
        await audit("subscription.create", `subscription:${id}`, { userId: account.id });
        publish({ subscriptionIds: [id] }, `subscription ${id} created`);
        return { subscription: await readSubscription(tx, id, at), token };
      }),

    update: (actor, request) =>
      changeOne(actor, request.id, "update", async ({ tx, at }, row) => {
        const fields = fieldsToChange(UpdateSubscriptionRequestSchema, request);
        if (fields.size === 0) return undefined;
        const next = columnsOf(request, fields, row, at);
        await tx.updateTable("subscription").set(next).where("id", "=", row.id).execute();
        if (next.all_protocols === 1) await setNodeProtocols(tx, row.id, []);
        else if (fields.has("nodeProtocolIds")) await setNodeProtocols(tx, row.id, request.nodeProtocolIds);
        return { changed: [...fields] };
      }),

    remove: (actor, id) =>
      change(actor, async ({ tx, audit, publish }) => {
        const row = await find(tx, id);
        await tx.deleteFrom("subscription").where("id", "=", row.id).execute();
        await audit("subscription.delete", `subscription:${row.id}`, { userId: row.account_id });
        publish({ subscriptionIds: [row.id] }, `subscription ${row.id} deleted`);
      }),

    rotateToken: (actor, id) =>
      change(actor, async (made) => {
        const row = await find(made.tx, id);
        const token = await renewToken(made, row.id);
        await made.audit("subscription.rotate-token", `subscription:${row.id}`);
        return { subscription: await readSubscription(made.tx, row.id, made.at), token };
      }),

    rotateLinks: (actor, id, protocols) =>
      changeOne(actor, id, "rotate-links", async ({ tx }, row) => {
        const replaced = await replaceLinks(tx, row.id, linkProtocols(protocols), random);
        return replaced.length === 0 ? undefined : { protocols: replaced };
      }),

    updateLink: (actor, { id, protocol, enabled }) =>
      changeOne(actor, id, "update-link", async ({ tx }, row) => {
        const [name] = linkProtocols([protocol]);
        if (name === undefined) return undefined;
        const { numUpdatedRows } = await tx
          .updateTable("link")
          .set({ enabled: Number(enabled) })
          .where("subscription_id", "=", row.id)
          .where("protocol", "=", name)
          .executeTakeFirst();
        if (numUpdatedRows === 0n && !enabled) return undefined;
        if (numUpdatedRows === 0n) await addLinks(tx, row.id, [name], random);
        return { protocol: name, enabled };
      }),

    resetUsage: (actor, id) =>
      changeOne(actor, id, "reset-usage", async ({ tx, at }, row) => {
        await tx
          .updateTable("subscription")
          .set({
            period_bytes: 0n,
            period_started_at: at,
            refused: refusalOf({ expiresAt: row.expires_at, quotaBytes: row.quota_bytes, periodBytes: 0n }, at),
          })
          .where("id", "=", row.id)
          .execute();
        return { periodBytes: `${row.period_bytes}` };
      }),
  };
}

async function find(tx: Transaction<CoreSchema>, id: bigint): Promise<SubscriptionRow> {
  const row = await subscriptionQuery(tx).where("subscription.id", "=", idOf(id)).executeTakeFirst();
  if (row === undefined) throw new Unknown("SUBSCRIPTION", id);
  return row;
}

/** The subscription that a request has made before. Throws {@link RequestIdReused} when it was another request. */
async function findByRequest(
  tx: Transaction<CoreSchema>,
  request: CreateSubscriptionRequest,
): Promise<number | undefined> {
  if (request.requestId === "") return undefined;
  const row = await tx
    .selectFrom("subscription")
    .select(["id", "request_digest"])
    .where("request_id", "=", request.requestId)
    .executeTakeFirst();
  if (row !== undefined && row.request_digest !== digestOf(request)) throw new RequestIdReused();
  return row?.id;
}

function digestOf(request: CreateSubscriptionRequest): string {
  return createHash("sha256").update(toBinary(CreateSubscriptionRequestSchema, request)).digest("hex");
}

function columnsOf(
  request: UpdateSubscriptionRequest,
  fields: ReadonlySet<string>,
  row: SubscriptionRow,
  at: number,
): Updateable<CoreSchema["subscription"]> {
  const expiresAt = fields.has("expiresAt") ? msOf(request.expiresAt) : row.expires_at;
  const quotaBytes = fields.has("quotaBytes") ? request.quotaBytes || null : row.quota_bytes;
  const names = fields.has("nodeProtocolIds");
  const all = fields.has("allProtocols") ? (request.allProtocols ?? false) : !names && row.all_protocols === 1;
  const period = periodOf(request.resetPeriod ?? ResetPeriod.NEVER);
  return {
    ...(fields.has("name") && { name: request.name ?? "" }),
    ...(fields.has("enabled") && { enabled: Number(request.enabled ?? false) }),
    ...(fields.has("failOpen") && { fail_open: Number(request.failOpen ?? false) }),
    ...(fields.has("deviceLimit") && { device_limit: request.deviceLimit || null }),
    ...(fields.has("resetPeriod") && { reset_period: period, next_reset_at: nextReset(period, at) }),
    expires_at: expiresAt,
    quota_bytes: quotaBytes,
    all_protocols: Number(all),
    refused: refusalOf({ expiresAt, quotaBytes, periodBytes: row.period_bytes }, at),
  };
}
