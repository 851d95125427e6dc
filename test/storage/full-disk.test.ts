import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const place = mkdtempSync(join(tmpdir(), "garrison-full-disk-"));
afterAll(() => rmSync(place, { recursive: true }));

const source = (file: string) => JSON.stringify(join(import.meta.dirname, "../..", file));
/** Makes a database and a spool on a disk that gets full, and says how it goes to open them then. */
const program = `
  import { appendFileSync, rmSync } from "node:fs";
  import { create } from ${JSON.stringify(import.meta.resolve("@bufbuild/protobuf"))};
  import { SessionEventEntrySchema } from ${source("gen/garrison/core/v1/node_agent_pb.ts")};
  import { openSpool } from ${source("src/node/agent/spool/open-spool.ts")};
  import { openDatabase } from ${source("src/platform/storage/database.ts")};
  const store = () => openDatabase({ file: "store.db", migrations: [{ name: "0001-a", sql: "create table a (b integer)" }] });
  const clock = { now: () => Date.now(), uptime: () => performance.now(), bootId: "boot" };
  const spool = () => openSpool({ file: "spool.db", clock });
  const event = create(SessionEventEntrySchema, { userId: 1n, occurredAt: new Date().toISOString() });
  const note = async (opened) => opened.note([event]).then(() => "noted", ({ name }) => name).finally(() => opened.close());
  for (const open of [store, spool]) await (await open()).close();
  try {
    for (;;) appendFileSync("filling", Buffer.alloc(4_096));
  } catch {} // until there is no room
  console.log(await store().then(() => "opened", ({ message }) => message));
  console.log(await spool().then(note, ({ message }) => message));
  rmSync("filling");
  console.log(await spool().then(note, ({ message }) => message));
`;
/** In a mount namespace of its own, which goes with the process and takes the disk along. */
const script = 'mount -t tmpfs -o size=1m none "$1" && cd "$1" && exec "$2" --input-type=module --eval "$3"';
const run = (command: string) =>
  spawnSync("unshare", ["--mount", "sh", "-c", command, "sh", place, process.execPath, program], { encoding: "utf8" });

test.skipIf(run('mount -t tmpfs none "$1"').status !== 0)(
  "on a disk that is full a database says so, and an agent's spool opens, refuses what it cannot keep, and goes on once there is room",
  () => {
    const { stdout, stderr } = run(script);
    expect({ said: stdout.trim().split("\n"), stderr }).toEqual({
      said: ["the database store.db cannot be used: its disk is full (disk I/O error)", "DatabaseFull", "noted"],
      stderr: "",
    });
  },
);
