import type { Migration } from "../../../src/platform/storage/migrations.ts";

/** The tables of the suite. */
export interface Schema {
  account: { id: number; tenant: number; name: string; used_bytes: bigint; note: string | null; active: 0 | 1 };
  session: { id: number; account_id: number; key: Uint8Array; score: number | null };
}

export const migrations: readonly Migration[] = [
  {
    name: "0001-accounts",
    sql: `
      create table account (
        id integer primary key,
        tenant integer not null,
        name text not null check (name <> ''),
        used_bytes bigint not null default 0,
        note text,
        active integer not null default 1,
        unique (tenant, name)
      );
      create index account_name on account (name);`,
  },
  {
    name: "0002-sessions",
    sql: {
      sqlite: `create table session (
        id integer primary key, account_id integer not null references account (id), key blob not null, score real
      ) strict`,
      postgres: `create table session (
        id integer primary key, account_id integer not null references account (id), key bytea not null,
        score double precision
      )`,
    },
  },
];

/** The columns whose values are bigint. */
export const int64 = ["used_bytes"];
