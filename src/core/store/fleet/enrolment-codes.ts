import { create } from "@bufbuild/protobuf";
import type { Selectable } from "kysely";
import {
  type CreateEnrolmentCodeRequest,
  type EnrolmentCode,
  EnrolmentCodeSchema,
  EnrolmentCodeState,
  type ListEnrolmentCodesRequest,
  ListEnrolmentCodesRequestSchema,
  type ListEnrolmentCodesResponse,
  ListEnrolmentCodesResponseSchema,
} from "../../../../gen/garrison/core/v1/nodes_pb.ts";
import { makeEnrolmentSecret } from "../../../platform/identity/enrolment-code.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import { NotNow, Unknown } from "../../domain/fleet/situations.ts";
import { hashOf } from "../../domain/hashed-secret.ts";
import type { CoreSchema } from "../schema.ts";
import type { Change, MakeChange } from "./changes.ts";
import { timeOf } from "./message-values.ts";
import { beyond, idOf } from "./sql-parts.ts";

/** A code, and what is known of it. */
interface ShownCode {
  readonly enrolmentCode: EnrolmentCode;
  /** Shown this once. */
  readonly code: string;
}

/** The codes by which agents enrol. */
export interface EnrolmentCodeStore {
  /** Makes a code within another change. */
  make(change: Change, code: { nodeId: number | null; region: string; ttlSeconds: number }): Promise<ShownCode>;
  create(actor: string, request: CreateEnrolmentCodeRequest): Promise<ShownCode>;
  list(request: ListEnrolmentCodesRequest): Promise<ListEnrolmentCodesResponse>;
  revoke(actor: string, id: bigint): Promise<EnrolmentCode>;
}

/** Options of {@link createEnrolmentCodeStore}. */
export interface EnrolmentCodeStoreOptions {
  database: Pick<Database<CoreSchema>, "db">;
  change: MakeChange;
  /** The one string that an agent needs, of the secret in it. */
  codeText: (secret: string) => string;
  /** Milliseconds since 1970. */
  now: () => number;
}

const usualTtlSeconds = 3600;

/** The enrolment codes in the database. */
export function createEnrolmentCodeStore(options: EnrolmentCodeStoreOptions): EnrolmentCodeStore {
  const { database, change, codeText, now } = options;
  const show = (row: CodeRow) => codeOf(row, now());
  const make: EnrolmentCodeStore["make"] = async ({ tx, at, audit }, { nodeId, region, ttlSeconds }) => {
    const secret = makeEnrolmentSecret();
    const expires_at = at + (ttlSeconds || usualTtlSeconds) * 1000;
    const row = await tx
      .insertInto("enrolment_code")
      .values({ hash: hashOf(secret), node_id: nodeId, region, created_at: at, expires_at })
      .returningAll()
      .executeTakeFirstOrThrow();
    await audit("enrolment-code.create", `enrolment-code:${row.id}`, { nodeId, expiresAt: expires_at });
    return { enrolmentCode: show(row), code: codeText(secret) };
  };
  return {
    make,

    create: (actor, { nodeId, region, ttlSeconds }) =>
      change(actor, async (made) => {
        if (nodeId === 0n) return make(made, { nodeId: null, region, ttlSeconds });
        const node = await made.tx.selectFrom("node").select("id").where("id", "=", idOf(nodeId)).executeTakeFirst();
        if (node === undefined) throw new Unknown("NODE", nodeId);
        return make(made, { nodeId: node.id, region, ttlSeconds });
      }),

    async list(request) {
      const page = pageOf(ListEnrolmentCodesRequestSchema, request, ["number"]);
      let query = database.db
        .selectFrom("enrolment_code")
        .selectAll()
        .orderBy("id", "desc")
        .limit(page.size + 1);
      if (page.after !== undefined) query = query.where(beyond(["id"], page.after, "desc"));
      if (request.nodeId !== 0n) query = query.where("node_id", "=", idOf(request.nodeId));
      const { rows, nextPageToken } = page.cut(await query.execute(), ({ id }) => [id]);
      return create(ListEnrolmentCodesResponseSchema, { enrolmentCodes: rows.map(show), nextPageToken });
    },

    revoke: (actor, id) =>
      change(actor, async ({ tx, at, audit }) => {
        const row = await tx.selectFrom("enrolment_code").selectAll().where("id", "=", idOf(id)).executeTakeFirst();
        if (row === undefined) throw new Unknown("ENROLMENT_CODE", id);
        if (row.used_at !== null) {
          throw new NotNow("ENROLMENT_CODE_USED", "the code was used already: revoke the keys of the node instead");
        }
        if (row.revoked_at !== null) return show(row);
        await tx.updateTable("enrolment_code").set({ revoked_at: at }).where("id", "=", row.id).execute();
        await audit("enrolment-code.revoke", `enrolment-code:${row.id}`);
        return show({ ...row, revoked_at: at });
      }),
  };
}

type CodeRow = Selectable<CoreSchema["enrolment_code"]>;

function codeOf(row: CodeRow, now: number): EnrolmentCode {
  return create(EnrolmentCodeSchema, {
    id: BigInt(row.id),
    nodeId: BigInt(row.node_id ?? 0),
    region: row.region,
    state: stateOf(row, now),
    createdAt: timeOf(row.created_at),
    expiresAt: timeOf(row.expires_at),
    usedAt: timeOf(row.used_at),
    usedByNodeId: BigInt(row.used_by_node_id ?? 0),
  });
}

function stateOf(row: CodeRow, now: number): EnrolmentCodeState {
  if (row.used_at !== null) return EnrolmentCodeState.USED;
  if (row.revoked_at !== null) return EnrolmentCodeState.REVOKED;
  return row.expires_at <= now ? EnrolmentCodeState.EXPIRED : EnrolmentCodeState.OPEN;
}
