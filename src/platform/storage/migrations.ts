import { createHash } from "node:crypto";
import type { EngineName } from "./connection.ts";
import { DatabaseNewer, MigrationChanged, MigrationFailed } from "./errors.ts";

/**
 * One step of a schema, forward only. Applied migrations are never changed: a correction is a new migration.
 * The text may hold several statements, and none that begins or ends a transaction.
 */
export interface Migration {
  /** Says what it does; unique among the migrations of a database: `0001-accounts`. */
  readonly name: string;
  /** One text where both engines understand it, else one for each. */
  readonly sql: string | Readonly<Record<EngineName, string>>;
}

/** A row of the table of migrations. */
export interface AppliedMigration {
  readonly name: string;
  /** SHA-256 of the SQL text that was executed, in hex. */
  readonly checksum: string;
}

/** What an engine does for {@link runMigrations}, inside one transaction that no other process can be in. */
export interface MigrationSession {
  /** What was applied, in order; makes the table when it is missing. */
  applied(): Promise<readonly AppliedMigration[]>;
  /** Executes the statements of a text. */
  script(sql: string): Promise<void>;
  record(position: number, migration: AppliedMigration): Promise<void>;
  /** Fails when a script has left the transaction. */
  assertInTransaction(): void;
}

/** The table of migrations, which both engines understand. */
export const migrationTable = `create table if not exists garrison_migrations (
  position integer primary key,
  name text not null,
  checksum text not null
)`;

/** Applies what is missing. The caller commits when it returns and rolls back when it throws. */
export async function runMigrations(
  session: MigrationSession,
  engine: EngineName,
  migrations: readonly Migration[],
): Promise<void> {
  const applied = await session.applied();
  const wanted = migrations.map((migration) => ({ ...stamp(migration, engine), sql: textFor(migration, engine) }));
  checkMigrations(applied, wanted);
  for (const [position, { sql, name, checksum }] of wanted.entries()) {
    if (position < applied.length) {
      continue;
    }
    try {
      await session.script(sql);
      session.assertInTransaction();
    } catch (error) {
      throw new MigrationFailed(name, error instanceof Error ? error.message : String(error), error);
    }
    await session.record(position, { name, checksum });
  }
}

/** Throws when what was applied to the database is not the beginning of what this program has. */
export function checkMigrations(applied: readonly AppliedMigration[], wanted: readonly AppliedMigration[]): void {
  const repeated = wanted.find(({ name }, index) => wanted.findIndex((other) => other.name === name) !== index);
  if (repeated !== undefined) {
    throw new TypeError(`two migrations have the name ${repeated.name}`);
  }
  for (const [position, { name, checksum }] of applied.entries()) {
    const here = wanted[position];
    if (here === undefined) {
      throw new DatabaseNewer(applied.slice(wanted.length).map((migration) => migration.name));
    }
    if (here.name !== name) {
      throw new MigrationChanged(name, `this program has ${here.name} in its place`);
    }
    if (here.checksum !== checksum) {
      throw new MigrationChanged(name, `its text has the checksum ${here.checksum}, the applied one ${checksum}`);
    }
  }
}

/** The row that a migration leaves in the table. Line ends and the space around the text do not matter. */
export function stamp(migration: Migration, engine: EngineName): AppliedMigration {
  const text = textFor(migration, engine).replaceAll("\r\n", "\n").trim();
  return { name: migration.name, checksum: createHash("sha256").update(text).digest("hex") };
}

function textFor(migration: Migration, engine: EngineName): string {
  return typeof migration.sql === "string" ? migration.sql : migration.sql[engine];
}
