import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import pg from "pg";

/** A real PostgreSQL server for one test suite, with data of its own that is gone afterwards. */
export interface TestPostgres {
  /** Makes an empty database and returns its URL. */
  createDatabase(): Promise<string>;
  /** Executes a statement as the superuser, in the database `postgres`. */
  query(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  /** Stops the server as if it had crashed: all connections break. */
  kill(): Promise<void>;
  /** Starts it again after {@link kill}. */
  start(): Promise<void>;
  /** Stops the server and removes its data. */
  stop(): Promise<void>;
}

/**
 * Starts a server from Debian's package `postgresql` on a Unix socket in a directory of its own: no port, no password.
 * As root, it runs as the user `postgres`, or `nobody`. It ends with the test process, however that ends. `durable`: its
 * commits survive a power cut, at the price of the disk's time.
 */
export async function startPostgres({ durable = false } = {}): Promise<TestPostgres> {
  const programs = findPrograms();
  const owner = unprivilegedUser();
  const directory = mkdtempSync(join(tmpdir(), "garrison-postgres-"));
  if (owner !== undefined) {
    chownSync(directory, owner.uid, owner.gid);
  }
  const data = join(directory, "data");
  const remove = () => rmSync(directory, { recursive: true, force: true });
  const initdb = ["--auth=trust", "--username=garrison", "--encoding=UTF8", "--locale=C", "--no-sync"];
  const made = spawnSync(join(programs, "initdb"), [...initdb, `--pgdata=${data}`], { ...owner, encoding: "utf8" });
  if (made.status !== 0) {
    remove();
    throw new Error(`initdb failed: ${made.error?.message ?? made.stderr}`);
  }

  const urlOf = (database: string) => `postgres://garrison@localhost/${database}?host=${encodeURIComponent(directory)}`;
  const query: TestPostgres["query"] = async (sql, values) => {
    const client = new pg.Client(urlOf("postgres"));
    await client.connect();
    try {
      return (await client.query(sql, values)).rows;
    } finally {
      await client.end();
    }
  };

  let server: ChildProcess | undefined;
  const start = async () => {
    const settings = [
      "listen_addresses=",
      `unix_socket_directories=${directory}`,
      `fsync=${durable ? "on" : "off"}`,
      "max_connections=60",
    ];
    const postgres = [join(programs, "postgres"), "-D", data, ...settings.flatMap((setting) => ["-c", setting])];
    const identity = owner === undefined ? [] : [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups"];
    server = spawn("setpriv", ["--pdeathsig=QUIT", ...identity, ...postgres], {
      cwd: directory,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    server.stderr?.setEncoding("utf8").on("data", (text: string) => {
      log = (log + text).slice(-4_000);
    });
    for (let waitedMs = 0; ; waitedMs += 20) {
      try {
        await query("select 1");
        return;
      } catch (error) {
        if (server.exitCode !== null || waitedMs > 30_000) {
          throw new Error(`PostgreSQL did not start: ${log}`, { cause: error });
        }
        await setTimeout(20);
      }
    }
  };
  const end = async (signal: NodeJS.Signals) => {
    if (server !== undefined && server.exitCode === null && server.signalCode === null) {
      const exited = once(server, "exit");
      server.kill(signal);
      await exited;
    }
  };

  try {
    await start();
  } catch (error) {
    await end("SIGKILL");
    remove();
    throw error;
  }
  return {
    query,
    start,
    // SIGQUIT is an immediate shutdown: the server breaks all connections and recovers at its next start.
    kill: () => end("SIGQUIT"),
    async createDatabase() {
      const name = `test_${randomBytes(8).toString("hex")}`;
      await query(`create database ${name}`);
      return urlOf(name);
    },
    async stop() {
      await end("SIGQUIT");
      remove();
    },
  };
}

/** Debian keeps the server's programs out of the PATH, one directory for each version; the newest is taken. */
function findPrograms(): string {
  const versions = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql") : [];
  const directories = versions
    .toSorted((a, b) => Number(b) - Number(a))
    .map((version) => join("/usr/lib/postgresql", version, "bin"))
    .filter((directory) => existsSync(join(directory, "initdb")));
  const [newest] = directories;
  if (newest === undefined) {
    throw new Error("PostgreSQL is not installed: apt-get install postgresql");
  }
  return newest;
}

/** PostgreSQL refuses to run as root. */
function unprivilegedUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) {
    return undefined;
  }
  const users = readFileSync("/etc/passwd", "utf8").split("\n");
  for (const name of ["postgres", "nobody"]) {
    const [, , uid, gid] = users.find((line) => line.startsWith(`${name}:`))?.split(":") ?? [];
    if (uid !== undefined && gid !== undefined) {
      return { uid: Number(uid), gid: Number(gid) };
    }
  }
  throw new Error("there is no user to run PostgreSQL as");
}
