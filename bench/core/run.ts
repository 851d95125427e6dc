// What Core carries, through HTTP, with the server on one processor and the load on the other; where it is measured how
// long others wait, Core's second thread and the garbage collector may run beside the load. Prints medians and ratios
// beside their targets; exits with 1 when a target is missed. Argument: runs what has this in its name.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "../../test/postgres.ts";
import { moveToLoadCore } from "../child-server.ts";
import { report } from "../node/report.ts";
import { compare } from "../rounds.ts";
import { bookedBytes } from "./booked-bytes.ts";
import { measureFanOut, measureUnchanged } from "./configs.ts";
import { measureHeartbeats } from "./heartbeats.ts";
import { measureManyNodes } from "./many-nodes.ts";
import { measureQuotaOverrun } from "./quota-overrun.ts";
import { measureRendering } from "./rendering.ts";
import { measureSubscriptionLinks } from "./subscription-links.ts";
import { startUsageServer } from "./usage.ts";
import { bytesPerMinute, nodes, users } from "./usage-bodies.ts";

const only = process.argv[2] ?? "";
const directory = mkdtempSync(join(tmpdir(), "garrison-bench-"));
process.once("exit", () => rmSync(directory, { recursive: true }));

const targets = [
  { engine: "SQLite", entries: 500, rate: 60_000, ratio: 0.75 },
  { engine: "SQLite", entries: 5_000, rate: 130_000, ratio: 0.65 },
  { engine: "PostgreSQL", entries: 500, rate: 30_000, ratio: 0.55 },
  { engine: "PostgreSQL", entries: 5_000, rate: 50_000, ratio: 0.65 },
];

if ("configs, rendering".includes(only)) await measureRendering();
moveToLoadCore();
for (const target of targets) {
  const about = `usage entries, ${target.engine}, ${target.entries} a batch`;
  if (about.includes(only)) await usage(about, target);
}
const ofConfigs = { unchanged: measureUnchanged, watching: measureFanOut };
for (const [name, measure] of Object.entries(ofConfigs)) if (`configs, ${name}`.includes(only)) await measure();
if ("heartbeats".includes(only)) await measureHeartbeats();
if ("many nodes".includes(only)) await measureManyNodes();
if ("quota overrun".includes(only)) await measureQuotaOverrun();
if ("subscription links".includes(only)) await measureSubscriptionLinks();

async function usage(about: string, { engine, entries, rate, ratio }: (typeof targets)[number]): Promise<void> {
  const postgres = engine === "PostgreSQL" ? await startPostgres({ durable: true }) : undefined;
  const place = async (name: string) => postgres?.createDatabase() ?? join(directory, `${name}-${entries}`);
  const databases = { ours: await place("ours"), theirs: await place("theirs") };
  const ours = await startUsageServer("serve-usage.ts", databases.ours, entries);
  const theirs = await startUsageServer("serve-usage-floor.ts", databases.theirs, entries);
  const [warmUps, rounds] = [1, 3];
  try {
    const result = await compare(ours.entriesPerSecond, theirs.entriesPerSecond, { warmUps, rounds });
    const { p99, most } = ours.stalls();
    const missed = result.ours < rate || result.ratio < ratio;
    const booked = await bookedBytes(databases.ours);
    const lost = bytesPerMinute * BigInt(warmUps + rounds) - booked;
    if (missed || lost !== 0n) process.exitCode = 1;
    const round = (value: number) => Math.round(value).toLocaleString("en").padStart(8);
    console.log(
      `${about.padEnd(44)}${round(result.ours)} /s  floor ${round(result.theirs)} /s  ratio ${result.ratio.toFixed(2)}` +
        `  target ${round(rate)} and ${ratio.toFixed(2)}  ${missed ? "MISSED" : "held"}  lost or doubled: ${lost} bytes` +
        `  others waited ${p99.toFixed(0)} ms (p99), ${most.toFixed(0)} ms at most`,
    );
    // A round is all users on all nodes.
    const inAll = `  ${nodes * users} entries, ${users} users on ${nodes} nodes`;
    const atMost = engine === "SQLite" ? { atMost: 5_000 } : {};
    report({ about: inAll, value: (1_000 * nodes * users) / result.ours, unit: "ms", ...atMost });
  } finally {
    await ours.close();
    await theirs.close();
    await postgres?.stop();
  }
}
