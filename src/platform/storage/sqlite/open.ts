import { chmodSync, closeSync, mkdirSync, openSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from "kysely";
import type { Engine } from "../connection.ts";
import { DatabaseUnavailable } from "../errors.ts";
import { type AppliedMigration, migrationTable, runMigrations } from "../migrations.ts";
import type { CompleteStorageOptions } from "../options.ts";
import { Subscribers } from "../subscribers.ts";
import type { TransactionScope } from "../transaction-scope.ts";
import { SqliteConnection } from "./connection.ts";
import { SqliteDriver } from "./driver.ts";
import { sqliteCode } from "./errors.ts";
import { createSqliteEventBus } from "./event-bus.ts";
import { createExecutor, type SqliteExecutor } from "./executor.ts";
import { openExecutorThread } from "./executor-thread.ts";
import { lockTimeoutMs, whenFree } from "./when-free.ts";

/** Opens and migrates an SQLite file. */
export async function openSqlite(
  file: string,
  options: CompleteStorageOptions,
  scope: TransactionScope,
): Promise<Engine> {
  const database = openFile(file);
  try {
    // Turning to WAL and migrating take locks for which processes that start at the same time compete.
    await whenFree(options.timing, options.openTimeoutMs, () => configure(database, options));
    await whenFree(options.timing, options.openTimeoutMs, () => database.exec("begin immediate"));
    await migrate(database, options);
  } catch (error) {
    database.close();
    throw unusableCodes.has((sqliteCode(error) ?? 0) & 0xff) ? unavailable(file, error) : error;
  }
  const executor = await openExecutor(file, database, options);
  const subscribers = new Subscribers(options.log);
  const driver = new SqliteDriver(new SqliteConnection({ executor, ...options }), scope);
  let closed: Promise<void> | undefined;
  return {
    name: "sqlite",
    dialect: {
      createDriver: () => driver,
      createAdapter: () => new OneConnectionAdapter(),
      createQueryCompiler: () => new SqliteQueryCompiler(),
      createIntrospector: (db) => new SqliteIntrospector(db),
    },
    events: createSqliteEventBus(subscribers, scope),
    close: () => {
      subscribers.close();
      closed ??= driver.destroy().then(() => executor.close());
      return closed;
    },
  };
}

/** Goes on with a database that is opened and migrated: here, or with a connection of its own in another thread. */
async function openExecutor(
  file: string,
  database: DatabaseSync,
  { ownThread, alone, synchronous, int64, timing }: CompleteStorageOptions,
): Promise<SqliteExecutor> {
  if (!ownThread || file === ":memory:") {
    return createExecutor({ database, int64, now: timing.now });
  }
  database.close();
  return openExecutorThread({
    file,
    prologue: `${lockingMode(alone)} ${settingsOfConnection} pragma synchronous = ${synchronous}; pragma foreign_keys = on;`,
    lockTimeoutMs,
    int64: [...int64],
  });
}

/** Kysely's own queue for one connection stays locked for ever when a connection is refused; the driver has its own. */
class OneConnectionAdapter extends SqliteAdapter {
  override get supportsMultipleConnections(): boolean {
    return true;
  }
}

/** Only we may read it: it holds hashes and addresses. SQLite gives its `-wal` and `-shm` files the same mode. */
function openFile(file: string): DatabaseSync {
  try {
    if (file !== ":memory:") {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      protect(file);
    }
    return new DatabaseSync(file, { timeout: lockTimeoutMs });
  } catch (error) {
    throw unavailable(file, error);
  }
}

function protect(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) {
      throw error;
    }
    // Never opened and closed here when it exists: closing any handle drops the locks that this process has on it.
    chmodSync(file, 0o600);
  }
}

function configure(database: DatabaseSync, { alone, synchronous }: CompleteStorageOptions): void {
  database.exec(`
    ${lockingMode(alone)}
    pragma journal_mode = wal;
    pragma synchronous = ${synchronous};
    pragma foreign_keys = off;
    ${settingsOfConnection}
  `);
}

// https://sqlite.org/wal.html#noshm: it counts when it comes before the first access.
const lockingMode = (alone: boolean) => `pragma locking_mode = ${alone ? "exclusive" : "normal"};`;

const settingsOfConnection = "pragma journal_size_limit = 67108864; pragma cache_size = -32768;";

async function migrate(database: DatabaseSync, { migrations }: CompleteStorageOptions): Promise<void> {
  try {
    await runMigrations(
      {
        async applied() {
          database.exec(migrationTable);
          return database
            .prepare("select name, checksum from garrison_migrations order by position")
            .all() as unknown as AppliedMigration[];
        },
        async script(sql) {
          database.exec(sql);
        },
        async record(position, { name, checksum }) {
          database.prepare("insert into garrison_migrations values (?, ?, ?)").run(position, name, checksum);
        },
        assertInTransaction() {
          if (!database.isTransaction) {
            throw new Error("it ended the transaction that it was executed in");
          }
          // Foreign keys are off while tables are rebuilt, which SQLite cannot do otherwise.
          const [violation] = database.prepare("pragma foreign_key_check").all();
          if (violation !== undefined) {
            throw new Error(
              `it left rows of ${violation.table} that refer to rows of ${violation.parent} that are not there`,
            );
          }
        },
      },
      "sqlite",
      migrations,
    );
    database.exec("commit");
    database.exec("pragma foreign_keys = on");
  } catch (error) {
    if (database.isTransaction) {
      database.exec("rollback");
    }
    throw error;
  }
}

function unavailable(file: string, error: unknown): DatabaseUnavailable {
  const said = error instanceof Error ? error.message : String(error);
  // SQLite says "disk I/O error" when the files beside the database have no room.
  const reason = hasNoSpace(dirname(file)) ? `its disk is full (${said})` : said;
  return new DatabaseUnavailable(file, reason, { temporary: false, cause: error });
}

/** A start takes less than this, and much less is of no use to anybody. */
const leastSpaceBytes = 128 << 10;

function hasNoSpace(directory: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize < leastSpaceBytes;
  } catch {
    return false; // it is not there, which is what the error says
  }
}

/** PERM, READONLY, IOERR, CORRUPT, CANTOPEN, NOTADB. */
const unusableCodes = new Set([3, 8, 10, 11, 14, 26]);
