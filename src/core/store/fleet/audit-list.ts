import { create } from "@bufbuild/protobuf";
import {
  AuditEntrySchema,
  type ListAuditEntriesRequest,
  ListAuditEntriesRequestSchema,
  type ListAuditEntriesResponse,
  ListAuditEntriesResponseSchema,
} from "../../../../gen/garrison/core/v1/audit_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import { pageOf } from "../../domain/fleet/page.ts";
import type { CoreSchema } from "../schema.ts";
import { msOf, timeOf } from "./message-values.ts";
import { beyond } from "./sql-parts.ts";

/** Reads the audit log, the newest entries first. */
export type ListAudit = (request: ListAuditEntriesRequest) => Promise<ListAuditEntriesResponse>;

/** Reads the audit log from the database. */
export function createListAudit({ db }: Pick<Database<CoreSchema>, "db">): ListAudit {
  return async (request) => {
    const page = pageOf(ListAuditEntriesRequestSchema, request, ["number"]);
    const [from, to] = [msOf(request.from), msOf(request.to)];
    const { actor, action, target } = request;
    let query = db
      .selectFrom("audit")
      .selectAll()
      .orderBy("id", "desc")
      .limit(page.size + 1);
    if (page.after !== undefined) query = query.where(beyond(["id"], page.after, "desc"));
    if (actor !== "") query = query.where("actor", "=", actor);
    if (target !== "") query = query.where("target", "=", target);
    if (from !== null) query = query.where("at", ">=", from);
    if (to !== null) query = query.where("at", "<", to);
    if (action !== "") {
      // All names that begin with `<action>.` come before `<action>/`, the next character.
      query = query.where(({ or, and, eb }) =>
        or([eb("action", "=", action), and([eb("action", ">", `${action}.`), eb("action", "<", `${action}/`)])]),
      );
    }
    const { rows, nextPageToken } = page.cut(await query.execute(), ({ id }) => [id]);
    const entries = rows.map(({ id, at, ...row }) =>
      create(AuditEntrySchema, { ...row, id: BigInt(id), occurredAt: timeOf(at) }),
    );
    return create(ListAuditEntriesResponseSchema, { entries, nextPageToken });
  };
}
