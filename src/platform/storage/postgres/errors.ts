import type { DatabaseError } from "pg";
import {
  ConnectionLost,
  ConstraintViolation,
  DatabaseBusy,
  DatabaseFull,
  DatabaseUnavailable,
  ForeignKeyViolation,
  TransactionConflict,
  UniqueViolation,
} from "../errors.ts";

/** What an error that the server answered a statement with means; itself when it means nothing to us. */
export function translateError(error: unknown): unknown {
  const code = codeOf(error);
  return code === undefined ? error : ((byState[code] ?? byClass[code.slice(0, 2)])?.(error as DatabaseError) ?? error);
}

/** Why a connection could not be made. */
export function connectError(target: string, error: unknown): DatabaseUnavailable {
  const reason = error instanceof Error && error.message !== "" ? error.message : String(codeOf(error) ?? error);
  const temporary = !permanentStates.test(codeOf(error) ?? "");
  return new DatabaseUnavailable(target, reason, { temporary, cause: error });
}

/** Wrong name or password, no such database, no right to connect, a certificate that is not trusted. */
const permanentStates = /^(28\w{3}|3D000|42501|CERT_\w+|DEPTH_ZERO_\w+|SELF_SIGNED_\w+|UNABLE_TO_\w+|ERR_TLS_\w+)$/;

/** The statements prepared on a connection before the schema changed cannot be executed there again. */
export function isStalePlan(error: unknown): boolean {
  return codeOf(error) === "0A000" && (error as DatabaseError).routine === "RevalidateCachedQuery";
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

// https://www.postgresql.org/docs/current/errcodes-appendix.html
const byState: Record<string, (error: DatabaseError) => Error | undefined> = {
  // serialization_failure, deadlock_detected
  "40001": (error) => new TransactionConflict(error),
  "40P01": (error) => new TransactionConflict(error),
  "0A000": (error) => (isStalePlan(error) ? new TransactionConflict(error) : undefined),
  // lock_not_available
  "55P03": (error) => new DatabaseBusy(error),
  // admin_shutdown, crash_shutdown, idle_in_transaction_session_timeout
  "57P01": (error) => new ConnectionLost(error),
  "57P02": (error) => new ConnectionLost(error),
  "25P03": (error) => new ConnectionLost(error),
  // disk_full
  "53100": (error) => new DatabaseFull(error),
  "23505": uniqueViolation,
  "23503": () => new ForeignKeyViolation(),
};

const byClass: Record<string, (error: DatabaseError) => Error> = {
  "08": (error) => new ConnectionLost(error),
  // The detail of these errors quotes the row, so only names are kept.
  "23": ({ table, column, constraint }) =>
    new ConstraintViolation([table, column, constraint].filter(Boolean).join(" ")),
};

/** The detail is `Key (tenant, name)=(7, x) already exists.`, in the server's language. */
function uniqueViolation({ table, detail }: DatabaseError): UniqueViolation {
  const columns = /\((.*?)\)=\(/.exec(detail ?? "")?.[1] ?? "";
  return new UniqueViolation(table ?? "", columns.replaceAll('"', "").split(", "));
}
