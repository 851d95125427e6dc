import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Database, openDatabase } from "../../src/platform/storage/database.ts";
import {
  CommitUncertain,
  ConnectionLost,
  DatabaseNewer,
  DatabaseUnavailable,
} from "../../src/platform/storage/errors.ts";
import type { StorageOptions } from "../../src/platform/storage/options.ts";
import { realTiming } from "../../src/platform/storage/timing.ts";
import { startPostgres, type TestPostgres } from "../postgres.ts";
import { migrations, type Schema } from "./behaviour/schema.ts";
import { describeStorage } from "./behaviour.ts";

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
}, 60_000);
afterAll(async () => {
  await postgres?.stop();
});

async function open(url: string, options: Partial<StorageOptions> = {}): Promise<Database<Schema>> {
  const database = await openDatabase<Schema>({ url, migrations, int64: ["used_bytes"], ...options });
  onTestFinished(() => database.close());
  return database;
}

const row = (id: number) => ({ id, tenant: 1, name: `n${id}`, used_bytes: 0n, note: null, active: 1 as const });
const ids = async ({ db }: Database<Schema>) =>
  (await db.selectFrom("account").select("id").orderBy("id").execute()).map(({ id }) => id);

/** Ends the server's side of all connections to a database that satisfy the condition. */
const terminate = (url: string, condition = "true") =>
  postgres.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid() and ${condition}`,
    [new URL(url).pathname.slice(1)],
  );

const connections = async (url: string) =>
  postgres.query("select query from pg_stat_activity where datname = $1", [new URL(url).pathname.slice(1)]);

describe("PostgreSQL", () => {
  let shared: string;
  let schemas = 0;
  beforeAll(async () => {
    shared = await postgres.createDatabase();
  });
  describeStorage("postgres", () => ({ url: shared, schema: `s${++schemas}` }));

  describe("when connections are lost", () => {
    test("idle ones are replaced", async () => {
      const url = await postgres.createDatabase();
      const database = await open(url);
      await Promise.all([1, 2, 3].map((id) => database.db.insertInto("account").values(row(id)).execute()));
      await terminate(url);
      await expect.poll(() => connections(url)).toEqual([]);
      await setTimeout(20);
      expect(await ids(database)).toEqual([1, 2, 3]);
    });

    test("a statement that runs fails with ConnectionLost, and the next one works", async () => {
      const url = await postgres.createDatabase();
      const database = await open(url);
      const sleeping = sql`select pg_sleep(30)`.execute(database.db);
      const refused = expect(sleeping).rejects.toThrow(ConnectionLost);
      await expect.poll(() => terminate(url, "query like '%pg_sleep%'")).toHaveLength(1);
      await refused;
      expect(await ids(database)).toEqual([]);
    });

    test.each(["between two statements", "during one"])("a transaction %s is executed again, once", async (when) => {
      const url = await postgres.createDatabase();
      const database = await open(url);
      let tries = 0;
      await database.transaction(async (tx) => {
        await tx.insertInto("account").values(row(1)).execute();
        if (++tries === 1) {
          if (when === "during one") {
            await sql`select pg_terminate_backend(pg_backend_pid())`.execute(tx);
          } else {
            await terminate(url);
            await setTimeout(30);
          }
        }
        await tx.insertInto("account").values(row(2)).execute();
      });
      expect(tries).toBe(2);
      expect(await ids(database)).toEqual([1, 2]);
    });

    test("among many statements nothing of them is kept, and they are executed again", async () => {
      const url = await postgres.createDatabase();
      const database = await open(url);
      const add = database.prepare((db, args: { id: number; name: string }) =>
        db.insertInto("account").values({ ...row(0), id: args.id, name: args.name }),
      );
      const rows = Array.from({ length: 3_000 }, (_, id) => ({ id, name: `n${id}` }));
      let tries = 0;
      await database.transaction(async (tx) => {
        if (++tries === 1) {
          // Ends the connection from within, about in the middle.
          await sql`create function pg_temp.die() returns trigger language plpgsql as
            'begin perform pg_terminate_backend(pg_backend_pid()); return new; end'`.execute(tx);
          await sql`create trigger die before insert on account for each row when (new.id = 1500)
            execute function pg_temp.die()`.execute(tx);
        }
        await add.runMany(rows, tx);
      });
      expect(tries).toBe(2);
      expect(await ids(database)).toHaveLength(3_000);
    });

    test("during a commit nothing is tried again, for it may have happened", async () => {
      const url = await postgres.createDatabase();
      const database = await open(url);
      await sql`create function slow_commit() returns trigger language plpgsql as
        'begin perform pg_sleep(30); return null; end'`.execute(database.db);
      await sql`create constraint trigger slow_commit after insert on account deferrable initially deferred
        for each row execute function slow_commit()`.execute(database.db);
      let tries = 0;
      const committing = database.transaction(async (tx) => {
        tries++;
        await tx.insertInto("account").values(row(1)).execute();
      });
      const uncertain = expect(committing).rejects.toThrow(CommitUncertain);
      await expect.poll(() => terminate(url, "query = 'commit'")).toHaveLength(1);
      await uncertain;
      expect(tries).toBe(1);
    });

    test("a transaction outlives a restart of the server, and events are heard again after a resync", async () => {
      const url = await postgres.createDatabase();
      const database = await open(url, { retryForMs: 20_000 });
      const heard: (string | undefined)[] = [];
      database.events.subscribe("users", {
        event: (payload) => heard.push(payload),
        resync: () => heard.push("(resync)"),
      });
      await expect.poll(() => heard).toEqual(["(resync)"]);
      await postgres.kill();
      const offline = await ids(database).catch((error: unknown) => error);
      expect(offline).toMatchObject({ name: "DatabaseUnavailable", temporary: true });
      const patient = database.transaction((tx) => tx.insertInto("account").values(row(1)).execute());
      await setTimeout(100);
      await postgres.start();
      await patient;
      expect(await ids(database)).toEqual([1]);
      await expect.poll(() => heard, { timeout: 15_000 }).toEqual(["(resync)", "(resync)"]);
      await database.events.publish("users", "1");
      await expect.poll(() => heard).toEqual(["(resync)", "(resync)", "1"]);
    });

    test("of which nobody is told, the bus finds out and resyncs", async () => {
      const url = await postgres.createDatabase();
      const proxy = await createSilentProxy(postgresSocket(url));
      // Minutes pass in moments; what the network takes is not changed.
      const timing = { ...realTiming, sleep: (ms: number, signal?: AbortSignal) => realTiming.sleep(ms / 100, signal) };
      const database = await open(proxy.urlFor(url), { timing });
      let resyncs = 0;
      database.events.subscribe("users", { event: () => undefined, resync: () => resyncs++ });
      await expect.poll(() => resyncs).toBe(1);
      proxy.silence();
      await expect.poll(() => resyncs, { timeout: 15_000 }).toBe(2);
    });
  });

  test("a prepared statement survives a change of the schema by another program", async () => {
    const url = await postgres.createDatabase();
    const database = await open(url, { maxConnections: 1 });
    const find = database.prepare((db, args: { id: number }) =>
      db.selectFrom("account").selectAll().where("id", "=", args.id),
    );
    await find.first({ id: 1 });
    await sql`alter table account add column more integer`.execute(database.db);
    await expect(find.first({ id: 1 })).rejects.toThrow("conflicts");
    expect(await find.first({ id: 1 })).toBeUndefined();
    await sql`alter table account add column most integer`.execute(database.db);
    expect(await database.transaction((tx) => find.first({ id: 1 }, tx))).toBeUndefined();
  });

  test("services share a database, each in a schema of its own", async () => {
    const url = await postgres.createDatabase();
    const core = await open(url, { schema: "core" });
    const auth = await open(url, { schema: "auth", migrations: migrations.slice(0, 1) });
    await core.db.insertInto("account").values(row(1)).execute();
    expect(await ids(auth)).toEqual([]);
    await expect(open(url, { schema: "core", migrations: migrations.slice(0, 1) })).rejects.toThrow(DatabaseNewer);
    const heard: unknown[] = [];
    auth.events.subscribe("users", { event: (payload) => heard.push(payload), resync: () => heard.push("(resync)") });
    await expect.poll(() => heard).toEqual(["(resync)"]);
    await core.events.publish("users", "core's");
    await auth.events.publish("users", "auth's");
    await expect.poll(() => heard).toEqual(["(resync)", "auth's"]);
    await expect(open(url, { schema: 'x"; drop schema core' })).rejects.toThrow(TypeError);
  });

  test("events reach the other processes that use the database", async () => {
    const url = await postgres.createDatabase();
    const [here, there] = await Promise.all([open(url), open(url)]);
    const heard: unknown[] = [];
    there.events.subscribe("users", { event: (payload) => heard.push(payload), resync: () => heard.push("(resync)") });
    await expect.poll(() => heard).toEqual(["(resync)"]);
    await here.events.publish("users", "1");
    await expect.poll(() => heard).toEqual(["(resync)", "1"]);
  });

  test("closing leaves no connection", async () => {
    const url = await postgres.createDatabase();
    const database = await open(url);
    database.events.subscribe("users", { event: () => undefined, resync: () => undefined });
    await expect.poll(() => connections(url)).toHaveLength(2);
    await database.close();
    await expect.poll(() => connections(url)).toEqual([]);
  });

  describe("at start", () => {
    test("a server that is not there is waited for, then named without the password", async () => {
      const port = await closedPort();
      let waits = 0;
      const timing = {
        ...realTiming,
        sleep(ms: number) {
          waits++;
          return realTiming.sleep(ms);
        },
      };
      const said: unknown[] = [];
      const log = { warn: (...told: unknown[]) => said.push(told) };
      const opening = open(`postgres://garrison:s3cret@127.0.0.1:${port}/fleet`, { openTimeoutMs: 300, timing, log });
      const error = await opening.catch((thrown: unknown) => thrown);
      expect(waits).toBeGreaterThan(1);
      // Once: who has mistyped the address sees what is waited for, and not every attempt.
      const err = expect.objectContaining({ message: expect.stringContaining("ECONNREFUSED") });
      const target = `postgres://garrison@127.0.0.1:${port}/fleet`;
      expect(said).toEqual([[{ err, target, openTimeoutMs: 300 }, "the database cannot be used yet: waiting for it"]]);
      expect(error).toBeInstanceOf(DatabaseUnavailable);
      expect(error).toMatchObject({ target: `postgres://garrison@127.0.0.1:${port}/fleet`, temporary: true });
      expect(String(error)).not.toContain("s3cret");
    });

    test("a database that does not exist is not waited for", async () => {
      const url = (await postgres.createDatabase()).replace(/test_\w+/, "nowhere");
      const startedAt = performance.now();
      await expect(open(url)).rejects.toThrow('database "nowhere" does not exist');
      expect(performance.now() - startedAt).toBeLessThan(5_000);
    });

    test.each(["mysql://localhost/x", "not a url"])("%s is refused", async (url) => {
      await expect(open(url)).rejects.toThrow("is not one of PostgreSQL");
    });
  });
});

/** The Unix socket of a URL of the harness. */
function postgresSocket(url: string): string {
  return `${new URL(url).searchParams.get("host")}/.s.PGSQL.5432`;
}

/** Passes connections on, until it is told to say nothing any more on those that it has. */
async function createSilentProxy(path: string) {
  const sockets: Socket[] = [];
  const server = createServer((client) => {
    const upstream = connect(path);
    sockets.push(client, upstream);
    client.pipe(upstream);
    upstream.pipe(client);
    client.on("error", () => upstream.destroy());
    upstream.on("error", () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const socket of sockets) {
      socket.destroy();
    }
    server.close();
  });
  return {
    urlFor(url: string) {
      const { port } = server.address() as AddressInfo;
      return `postgres://garrison@127.0.0.1:${port}${new URL(url).pathname}`;
    },
    silence() {
      for (const socket of sockets.splice(0)) {
        socket.unpipe();
        socket.pause();
        onTestFinished(() => {
          socket.destroy();
        });
      }
    },
  };
}

/** A port on which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
