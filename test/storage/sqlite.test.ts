import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout } from "node:timers/promises";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../src/platform/storage/database.ts";
import { DatabaseUnavailable, ForeignKeyViolation, MigrationFailed } from "../../src/platform/storage/errors.ts";
import { migrations, type Schema } from "./behaviour/schema.ts";
import { describeStorage } from "./behaviour.ts";
import { startInProcess } from "./start-in-process.ts";

let directory: string;
let count = 0;
const newFile = () => join(directory, `${++count}`, "store.sqlite");

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "garrison-sqlite-"));
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

async function openAt(file: string, { ownThread = false, alone = false, wanted = migrations } = {}) {
  const database = await openDatabase<Schema>({ file, migrations: wanted, int64: ["used_bytes"], ownThread, alone });
  onTestFinished(() => database.close());
  return database;
}

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

describe.each([
  ["in the thread that calls", false],
  ["in a thread of its own", true],
])("SQLite %s", (_, ownThread) => {
  const open = (file: string, wanted = migrations) => openAt(file, { ownThread, wanted });

  describeStorage("sqlite", () => ({ file: newFile(), ownThread }));

  test("keeps its files from other users", async () => {
    const file = newFile();
    await open(file);
    expect(mode(dirname(file))).toBe("700");
    expect([file, `${file}-wal`, `${file}-shm`].map(mode)).toEqual(["600", "600", "600"]);
  });

  test("closes a file that others could read", async () => {
    const file = newFile();
    mkdirSync(dirname(file));
    writeFileSync(file, "");
    chmodSync(file, 0o644);
    await open(file);
    expect(mode(file)).toBe("600");
  });

  test("writes through to the disk, beside readers, with foreign keys", async () => {
    const { db } = await open(newFile());
    const pragma = async (name: string) =>
      (await sql<Record<string, unknown>>`pragma ${sql.raw(name)}`.execute(db)).rows[0]?.[name];
    expect(await pragma("journal_mode")).toBe("wal");
    expect(await pragma("synchronous")).toBe(2);
    expect(await pragma("foreign_keys")).toBe(1);
  });

  test("refuses what is no database, and a place that cannot be one, by its name", async () => {
    const file = newFile();
    mkdirSync(dirname(file));
    writeFileSync(file, "this is a text and by no means a database".repeat(100));
    await expect(open(file)).rejects.toThrow(DatabaseUnavailable);
    await expect(open(file)).rejects.toThrow(`${file} cannot be used: file is not a database`);
    await expect(open(join(file, "below", "store.sqlite"))).rejects.toThrow(DatabaseUnavailable);
  });

  test("that is opened alone needs no file that it would share with others, which a full disk would not take", async () => {
    const file = newFile();
    await (await openAt(file, { ownThread })).close();
    mkdirSync(`${file}-shm`);
    await expect(openAt(file, { ownThread })).rejects.toThrow();
    const { db } = await openAt(file, { ownThread, alone: true });
    expect(await db.selectFrom("account").select("id").execute()).toEqual([]);
    expect(() => new DatabaseSync(file).exec("select * from account")).toThrow("locked");
  });

  test("waits for another process's lock without holding up this one", async () => {
    const file = newFile();
    const { db, transaction } = await open(file);
    const rival = new DatabaseSync(file);
    rival.exec("begin immediate");
    let turns = 0;
    const ticking = setInterval(() => turns++, 1);
    const values = { tenant: 1, used_bytes: 0n, note: null, active: 1 as const };
    const waiting = [
      db
        .insertInto("account")
        .values({ id: 1, name: "a", ...values })
        .execute(),
      transaction((tx) =>
        tx
          .insertInto("account")
          .values({ id: 2, name: "b", ...values })
          .execute(),
      ),
    ];
    await setTimeout(300);
    clearInterval(ticking);
    rival.exec("rollback");
    rival.close();
    await Promise.all(waiting);
    expect(turns).toBeGreaterThan(20);
    expect(await db.selectFrom("account").select("id").execute()).toEqual([{ id: 1 }, { id: 2 }]);
  });

  test("is not locked by a process that was killed while it migrated", async () => {
    const file = newFile();
    const slow = {
      name: "0001-slow",
      sql: `create table n as
        with recursive c (n) as (select 1 union all select n + 1 from c where n < 500000000) select max(n) as n from c`,
    };
    const dying = startInProcess({ file }, [slow]);
    const opening = dying.open();
    opening.catch(() => undefined);
    await until(() => {
      const rival = new DatabaseSync(file, { timeout: 0 });
      try {
        expect(() => rival.exec("begin immediate")).toThrow("locked");
      } finally {
        rival.close();
      }
    });
    dying.kill();
    await open(file, [{ ...slow, sql: "create table n (n integer)" }]);
  });

  test("lets a migration rebuild a table that others refer to", async () => {
    const file = newFile();
    const first = await open(file);
    await sql`insert into account (id, tenant, name) values (1, 1, 'a')`.execute(first.db);
    await sql`insert into session (id, account_id, key) values (1, 1, x'00')`.execute(first.db);
    await first.close();
    const rebuild = (where: string) => ({
      name: "0003-rebuild",
      sql: `create table copy (id integer primary key, name text not null);
        insert into copy select id, name from account ${where};
        drop table account;
        alter table copy rename to account`,
    });
    const losing = open(file, [...migrations, rebuild("where id <> 1")]);
    await expect(losing).rejects.toThrow(MigrationFailed);
    await expect(losing).rejects.toThrow("session");
    const { db } = await open(file, [...migrations, rebuild("")]);
    await expect(sql`delete from account`.execute(db)).rejects.toThrow(ForeignKeyViolation);
  });

  test("commits transactions that wait at the same time together, and answers none of them before", async () => {
    const { groupTransaction } = await open(newFile());
    const seen: string[] = [];
    const one = async (name: string) => {
      await groupTransaction(async () => void seen.push(`${name} is executed`));
      seen.push(`${name} is answered`);
    };
    await Promise.all([one("a"), one("b"), one("c")]);
    expect(seen).toEqual([
      ...["a is executed", "b is executed", "c is executed"],
      ...["a is answered", "b is answered", "c is answered"],
    ]);
  });

  test("in memory keeps nothing and needs no file", async () => {
    const { db } = await open(":memory:");
    expect(await db.selectFrom("account").select("id").execute()).toEqual([]);
  });
});

test("a thread of its own leaves this one free while a statement runs", async () => {
  const { db } = await openAt(newFile(), { ownThread: true });
  let turns = 0;
  const ticking = setInterval(() => turns++, 5);
  const startedAt = performance.now();
  await sql`with recursive c (n) as (select 1 union all select n + 1 from c where n < 20000000)
    select max(n) as n from c`.execute(db);
  const tookMs = performance.now() - startedAt;
  clearInterval(ticking);
  // In this thread there would be none.
  expect(turns).toBeGreaterThan(tookMs / 5 / 10);
});

/** Tries until it does not throw. */
async function until<T>(attempt: () => T): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return attempt();
    } catch (error) {
      if (tries > 1_000) {
        throw error;
      }
      await setTimeout(10);
    }
  }
}
