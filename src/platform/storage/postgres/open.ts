import { createHash } from "node:crypto";
import { PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from "kysely";
import pg from "pg";
import type { Engine } from "../connection.ts";
import { ConnectionLost, DatabaseUnavailable } from "../errors.ts";
import { migrationTable, runMigrations } from "../migrations.ts";
import type { CompleteStorageOptions } from "../options.ts";
import { Subscribers } from "../subscribers.ts";
import { backoffMs } from "../timing.ts";
import type { TransactionScope } from "../transaction-scope.ts";
import { PostgresDriver } from "./driver.ts";
import { connectError, translateError } from "./errors.ts";
import { PostgresEventBus } from "./event-bus.ts";
import { typeParsers } from "./types.ts";

/** Connects to a PostgreSQL server and migrates the schema. */
export async function openPostgres(
  url: string,
  options: CompleteStorageOptions,
  scope: TransactionScope,
): Promise<Engine> {
  const { int64, schema, log, timing } = options;
  const target = describe(url);
  const settings = sessionSettings(schema);
  const config = clientConfig(url);
  const pool = new pg.Pool({
    ...config,
    max: options.maxConnections,
    idleTimeoutMillis: 30_000,
    pipeline: true,
    onConnect: (client) => client.query(settings),
  });
  // A connection that breaks while nobody uses it: the pool has removed it already.
  pool.on("error", (error) => log.warn({ err: error }, "an idle connection to the database was lost"));
  try {
    await whenUp(target, options, async () => {
      const client = await pool.connect().catch((error: unknown) => {
        throw connectError(target, error);
      });
      await migrate(client, options);
    });
  } catch (error) {
    await pool.end();
    throw error;
  }
  const driver = new PostgresDriver({ pool, target, int64, scope });
  const channel = `garrison_${schema ?? "public"}`;
  const subscribers = new Subscribers(log);
  const events = new PostgresEventBus({ driver, config, channel, subscribers, timing, log });
  let closed: Promise<void> | undefined;
  return {
    name: "postgres",
    dialect: {
      createDriver: () => driver,
      createAdapter: () => new PostgresAdapter(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (db) => new PostgresIntrospector(db),
    },
    events,
    close: () => {
      closed ??= Promise.all([events.close(), driver.destroy()]).then(() => undefined);
      return closed;
    },
  };
}

function clientConfig(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: "garrison",
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: 10_000,
    types: typeParsers,
  };
}

/** The URL as it may be printed. */
function describe(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^postgres(ql)?:$/.test(parsed.protocol)) {
    throw new TypeError("the URL of the database is not one of PostgreSQL: postgres://user:password@host:5432/name");
  }
  const host = parsed.searchParams.get("host") ?? parsed.host;
  return `postgres://${parsed.username === "" ? "" : `${parsed.username}@`}${host}${parsed.pathname}`;
}

/** Set by statements, not at the start of the session, which poolers between us and the server refuse. */
function sessionSettings(schema: string | undefined): string {
  const searchPath = schema === undefined ? "" : `; set search_path to ${identifier(schema)}`;
  return `set idle_in_transaction_session_timeout = '60s'${searchPath}`;
}

/** Schemas and channels share the name, of which PostgreSQL takes 63 bytes. */
function identifier(schema: string): string {
  if (!/^[a-z_][a-z0-9_]{0,49}$/.test(schema)) {
    throw new TypeError(`"${schema}" is no name of a schema: lower case letters, digits and underscores, at most 50`);
  }
  return `"${schema}"`;
}

/** One process migrates at a time: the lock is of the transaction, so that a process that dies leaves none. */
async function migrate(client: pg.PoolClient, options: CompleteStorageOptions): Promise<void> {
  const { schema, migrations, openTimeoutMs } = options;
  let failure: Error | undefined;
  const onError = (error: Error) => {
    failure = error;
  };
  client.on("error", onError);
  try {
    // Not serializable: after the wait for the lock it must see what the one before has done.
    await client.query("begin isolation level read committed");
    await client.query(`set local statement_timeout = 0; set local lock_timeout = ${Math.round(openTimeoutMs)}`);
    await client.query(`select pg_advisory_xact_lock(${lockNumber(schema)})`);
    if (schema !== undefined) {
      await client.query(`create schema if not exists ${identifier(schema)}`);
    }
    await runMigrations(
      {
        async applied() {
          await client.query(migrationTable);
          return (await client.query("select name, checksum from garrison_migrations order by position")).rows;
        },
        async script(sql) {
          await client.query(sql);
        },
        async record(position, { name, checksum }) {
          await client.query("insert into garrison_migrations values ($1, $2, $3)", [position, name, checksum]);
        },
        assertInTransaction() {
          if (client.getTransactionStatus() !== "T") {
            throw new Error("it ended the transaction that it was executed in");
          }
        },
      },
      "postgres",
      migrations,
    );
    await client.query("commit");
  } catch (error) {
    if (failure !== undefined) {
      throw new ConnectionLost(failure);
    }
    failure = error instanceof Error ? error : new Error(String(error));
    throw translateError(error);
  } finally {
    client.off("error", onError);
    // After a failure the connection is closed, and with it the transaction.
    client.release(failure);
  }
}

/** The advisory lock of a schema's migrations: a number of 63 bits. */
function lockNumber(schema: string | undefined): bigint {
  const hash = createHash("sha256")
    .update(`garrison migrations ${schema ?? ""}`)
    .digest();
  return hash.readBigInt64BE() >> 1n;
}

/** Waits for a server that starts, restarts or cannot take more connections now. */
async function whenUp(
  target: string,
  options: CompleteStorageOptions,
  attemptOnce: () => Promise<void>,
): Promise<void> {
  const { timing, openTimeoutMs, log } = options;
  const deadline = timing.now() + openTimeoutMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await attemptOnce();
    } catch (error) {
      const waitMs = backoffMs(attempt, timing.random(), 50, 1_000);
      const mayPass = error instanceof ConnectionLost || (error instanceof DatabaseUnavailable && error.temporary);
      if (!mayPass || timing.now() + waitMs > deadline) {
        throw error;
      }
      if (attempt === 0)
        log.warn({ err: error, target, openTimeoutMs }, "the database cannot be used yet: waiting for it");
      await timing.sleep(waitMs);
    }
  }
}
