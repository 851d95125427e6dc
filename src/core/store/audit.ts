import type { Transaction } from "kysely";
import type { CoreSchema } from "./schema.ts";

/** Something that was done, as the audit log has it. */
export interface AuditEntry {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** `operator-key:<id>`, `node:<id>` or `core`. */
  readonly actor: string;
  /** Such as `node.create`. */
  readonly action: string;
  /** Such as `node:7`. */
  readonly target: string;
  /** Never a secret. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Writes it into the audit log, in the transaction that does it. */
export async function recordAudit(tx: Transaction<CoreSchema>, entry: AuditEntry): Promise<void> {
  const { details = {}, ...rest } = entry;
  await tx
    .insertInto("audit")
    .values({ ...rest, details: JSON.stringify(details) })
    .execute();
}
