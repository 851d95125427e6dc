import {
  ConstraintViolation,
  DatabaseBusy,
  DatabaseFull,
  ForeignKeyViolation,
  IntegerOutOfRange,
  TransactionConflict,
  UniqueViolation,
} from "../errors.ts";

/** What an error of `node:sqlite` means; itself when it means nothing to us. */
export function translateError(error: unknown): unknown {
  if (!(error instanceof Error) || !("code" in error)) {
    return error;
  }
  if (error.code === "ERR_OUT_OF_RANGE") {
    return new IntegerOutOfRange(undefined, error);
  }
  const code = sqliteCode(error);
  return code === undefined ? error : ((byExtendedCode[code] ?? byCode[code & 0xff])?.(error) ?? error);
}

/** The extended result code of an error of SQLite. */
export function sqliteCode(error: unknown): number | undefined {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode : undefined;
}

// https://sqlite.org/rescode.html
const byExtendedCode: Record<number, (error: Error) => Error> = {
  // BUSY_SNAPSHOT: a reader became a writer after somebody else had written.
  517: (error) => new TransactionConflict(error),
  // CONSTRAINT_UNIQUE, CONSTRAINT_PRIMARYKEY, CONSTRAINT_ROWID
  2067: uniqueViolation,
  1555: uniqueViolation,
  2579: uniqueViolation,
  // CONSTRAINT_FOREIGNKEY
  787: () => new ForeignKeyViolation(),
};

const byCode: Record<number, (error: Error) => Error> = {
  5: (error) => new DatabaseBusy(error),
  13: (error) => new DatabaseFull(error),
  // The messages of constraints name tables, columns and rules, never values.
  19: (error) => new ConstraintViolation(error.message),
};

/** Messages are `UNIQUE constraint failed: accounts.tenant, accounts.name` or `…: index 'name'`. */
function uniqueViolation(error: Error): UniqueViolation {
  const failed = error.message.slice(error.message.indexOf(": ") + 2);
  const columns = failed.split(", ");
  const table = /^(\w+)\./.exec(failed)?.[1] ?? "";
  return new UniqueViolation(
    table,
    columns.map((column) => (column.startsWith(`${table}.`) ? column.slice(table.length + 1) : column)),
  );
}
