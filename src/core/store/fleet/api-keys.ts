import { create } from "@bufbuild/protobuf";
import type { Selectable, Transaction } from "kysely";
import {
  type ApiKey,
  ApiKeySchema,
  type CreateApiKeyRequest,
  type ListApiKeysRequest,
  ListApiKeysRequestSchema,
  type ListApiKeysResponse,
  ListApiKeysResponseSchema,
} from "../../../../gen/garrison/core/v1/operators_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import { Invalid, NotNow, ScopeMissing, Unknown } from "../../domain/fleet/situations.ts";
import { makeCredential } from "../../domain/hashed-secret.ts";
import { includesScope, type Operator, type OperatorScope, operatorScopes } from "../../domain/operator-keys.ts";
import type { CoreSchema } from "../schema.ts";
import { topics } from "../topics.ts";
import type { MakeChange } from "./changes.ts";
import { msOf, timeOf } from "./message-values.ts";
import { scopesOf, scopeWords } from "./scopes.ts";
import { beyond, idOf } from "./sql-parts.ts";

/** The API keys of operators. */
export interface ApiKeyStore {
  /** The key itself is shown this once. */
  create(operator: Operator, request: CreateApiKeyRequest): Promise<{ apiKey: ApiKey; key: string }>;
  get(id: bigint): Promise<ApiKey>;
  list(request: ListApiKeysRequest): Promise<ListApiKeysResponse>;
  revoke(operator: Operator, id: bigint): Promise<ApiKey>;
}

/** The API keys in the database. */
export function createApiKeyStore({ db }: Pick<Database<CoreSchema>, "db">, change: MakeChange): ApiKeyStore {
  return {
    create: (operator, request) =>
      change(operator.actor, async ({ tx, at, audit, announce }) => {
        const scopes = scopeWords(request.scopes);
        checkScopes(operator, scopes);
        const expires_at = msOf(request.expiresAt);
        if (expires_at !== null && expires_at <= at) throw new Invalid("FIELD_INVALID", "expiresAt: is in the past");
        const { text: key, hash } = makeCredential("ok_");
        const row = await tx
          .insertInto("operator_key")
          .values({ name: request.name, hash, scopes: JSON.stringify(scopes), created_at: at, expires_at })
          .returningAll()
          .executeTakeFirstOrThrow();
        await audit("api-key.create", `operator-key:${row.id}`, { name: request.name, scopes, expiresAt: expires_at });
        await announce(topics.operatorKeys, "");
        return { apiKey: apiKeyOf(row), key };
      }),

    get: async (id) => apiKeyOf(await find(db, id)),

    async list(request) {
      const page = pageOf(ListApiKeysRequestSchema, request, ["number"]);
      let query = db
        .selectFrom("operator_key")
        .selectAll()
        .orderBy("id", "desc")
        .limit(page.size + 1);
      if (page.after !== undefined) query = query.where(beyond(["id"], page.after, "desc"));
      const { rows, nextPageToken } = page.cut(await query.execute(), ({ id }) => [id]);
      return create(ListApiKeysResponseSchema, { apiKeys: rows.map(apiKeyOf), nextPageToken });
    },

    revoke: (operator, id) =>
      change(operator.actor, async ({ tx, at, audit, announce }) => {
        const row = await find(tx, id);
        checkScopes(operator, wordsIn(row));
        if (row.revoked_at !== null) return apiKeyOf(row);
        if (isMaster(row) && !(await tx.selectFrom("operator_key").selectAll().execute()).some(isMasterBut(row.id))) {
          throw new NotNow(
            "API_KEY_LAST",
            "it is the last key that allows everything and does not end: make another one first",
          );
        }
        await tx.updateTable("operator_key").set({ revoked_at: at }).where("id", "=", row.id).execute();
        await audit("api-key.revoke", `operator-key:${row.id}`, { name: row.name });
        await announce(topics.operatorKeys, "");
        return apiKeyOf({ ...row, revoked_at: at });
      }),
  };
}

type KeyRow = Selectable<CoreSchema["operator_key"]>;

async function find(db: Pick<Transaction<CoreSchema>, "selectFrom">, id: bigint): Promise<KeyRow> {
  const row = await db.selectFrom("operator_key").selectAll().where("id", "=", idOf(id)).executeTakeFirst();
  if (row === undefined) throw new Unknown("API_KEY", id);
  return row;
}

/** Nobody deals with scopes that they do not have. */
function checkScopes({ scopes }: Operator, needed: readonly OperatorScope[]): void {
  const lacking = needed.find((scope) => !includesScope(scopes, scope));
  if (lacking !== undefined) throw new ScopeMissing(lacking);
}

function isMaster(row: KeyRow): boolean {
  return row.revoked_at === null && row.expires_at === null && wordsIn(row).includes("*");
}

function isMasterBut(id: number): (row: KeyRow) => boolean {
  return (row) => row.id !== id && isMaster(row);
}

function wordsIn({ scopes }: KeyRow): OperatorScope[] {
  const kept: unknown = JSON.parse(scopes);
  return operatorScopes.filter((scope) => Array.isArray(kept) && kept.includes(scope));
}

function apiKeyOf(row: KeyRow): ApiKey {
  return create(ApiKeySchema, {
    id: BigInt(row.id),
    name: row.name,
    scopes: scopesOf(wordsIn(row)),
    createdAt: timeOf(row.created_at),
    expiresAt: timeOf(row.expires_at),
    lastUsedAt: timeOf(row.last_used_at),
    revokedAt: timeOf(row.revoked_at),
  });
}
