/** The database cannot be used: the server is not reachable or refuses us, or the file cannot be opened. */
export class DatabaseUnavailable extends Error {
  override readonly name = "DatabaseUnavailable";
  /** Which database: a file, or an address without its password. */
  readonly target: string;
  /** It may go away by itself: the server starts, restarts or is out of connections. */
  readonly temporary: boolean;

  constructor(target: string, reason: string, options: { temporary: boolean; cause?: unknown }) {
    super(`the database ${target} cannot be used: ${reason}`, { cause: options.cause });
    this.target = target;
    this.temporary = options.temporary;
  }
}

/** The database was closed by its owner. */
export class DatabaseClosed extends Error {
  override readonly name = "DatabaseClosed";

  constructor() {
    super("the database is closed");
  }
}

/** The disk, or the space the server may use, is full. */
export class DatabaseFull extends Error {
  override readonly name = "DatabaseFull";

  constructor(cause: unknown) {
    super("the database has no space left", { cause });
  }
}

/** A lock was held by others for longer than we wait. */
export class DatabaseBusy extends Error {
  override readonly name = "DatabaseBusy";

  constructor(cause: unknown) {
    super("the database is busy: others held a lock for too long", { cause });
  }
}

/** The connection broke. A statement outside of a transaction may or may not have been executed. */
export class ConnectionLost extends Error {
  override readonly name = "ConnectionLost";

  constructor(cause: unknown) {
    super("the connection to the database was lost", { cause });
  }
}

/** The connection broke while a transaction was committed: nobody knows whether it was. Not retried. */
export class CommitUncertain extends Error {
  override readonly name = "CommitUncertain";

  constructor(cause: unknown) {
    super("the connection to the database was lost during a commit, which may have happened or not", { cause });
  }
}

/** The transaction cannot be executed beside another one; it left nothing behind and may be tried again. */
export class TransactionConflict extends Error {
  override readonly name = "TransactionConflict";

  constructor(cause: unknown) {
    super("the transaction conflicts with another one", { cause });
  }
}

/** A statement of the transaction failed, so that nothing of it can be committed; `cause` is what failed first. */
export class TransactionAborted extends Error {
  override readonly name = "TransactionAborted";

  constructor(cause: unknown) {
    super("the transaction cannot go on: one of its statements failed", { cause });
  }
}

/** A mistake in the code: the database is used in a way that would wait for ever or would not be atomic. */
export class TransactionMisuse extends Error {
  override readonly name = "TransactionMisuse";
}

/** A row with these values is there already. */
export class UniqueViolation extends Error {
  override readonly name = "UniqueViolation";
  /** Empty when the database does not say. */
  readonly table: string;
  /** The columns, or the expression, that must be unique. Never the values. */
  readonly columns: readonly string[];

  constructor(table: string, columns: readonly string[]) {
    super(`there is already a row with this ${columns.join(", ") || "key"} in ${table || "its table"}`);
    this.table = table;
    this.columns = columns;
  }
}

/** A row refers to one that is not there, or one that is referred to would go. */
export class ForeignKeyViolation extends Error {
  override readonly name = "ForeignKeyViolation";

  constructor() {
    super("a row refers to one that is not there");
  }
}

/** A value that the table does not allow: absent where it must not be, against a check, of the wrong type. */
export class ConstraintViolation extends Error {
  override readonly name = "ConstraintViolation";

  constructor(rule: string) {
    super(`a value is not allowed: ${rule}`);
  }
}

/** An integer that JavaScript's numbers cannot hold exactly, in a column that is not read as bigint. */
export class IntegerOutOfRange extends Error {
  override readonly name = "IntegerOutOfRange";

  constructor(column: string | undefined, cause?: unknown) {
    const subject = column === undefined ? "a column" : `the column ${column}`;
    super(`${subject} holds an integer beyond 2^53: name it in the option int64 to read it as bigint`, { cause });
  }
}

/** The database was migrated by a newer version of the program. */
export class DatabaseNewer extends Error {
  override readonly name = "DatabaseNewer";
  /** The migrations that this program does not know. */
  readonly unknown: readonly string[];

  constructor(unknown: readonly string[]) {
    super(`the database is newer than this program, which does not know its migrations ${unknown.join(", ")}`);
    this.unknown = unknown;
  }
}

/** A migration that was applied once is another one in this program: the schema cannot be known. */
export class MigrationChanged extends Error {
  override readonly name = "MigrationChanged";
  readonly migration: string;

  constructor(migration: string, change: string) {
    super(`the migration ${migration} was applied to the database and has changed since: ${change}`);
    this.migration = migration;
  }
}

/** A migration failed; the database is as it was before, this run's earlier migrations included. */
export class MigrationFailed extends Error {
  override readonly name = "MigrationFailed";
  readonly migration: string;

  constructor(migration: string, reason: string, cause?: unknown) {
    super(`the migration ${migration} failed and was rolled back: ${reason}`, { cause });
    this.migration = migration;
  }
}
