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
  const code = codeOf(error) ?? "";
  // An attempt on several addresses fails with a code and an empty message.
  const reason = (error instanceof Error ? error.message : String(error)) || code;
  const temporary = passingCodes.test(code) || (code === "" && passingReasons.test(reason));
  return new DatabaseUnavailable(target, reason, { temporary, cause: error });
}

/** Nobody listens there (yet), the network, a name that is not known (yet); a server that starts, stops or is full. */
const passingCodes =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ENOENT|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|08\w{3}|57P0[123]|53300)$/;
/** `pg` has no codes for its own errors. */
const passingReasons = /timeout|terminated/i;

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
  const columns = /\((.*?)\)=\(/.exec(detail ?? "")?.[1];
  return new UniqueViolation(table ?? "", columns === undefined ? [] : columns.replaceAll('"', "").split(", "));
}
