import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { measureAccounting } from "./accounting.ts";
import { measureBadUser } from "./bad-users.ts";
import { measureDisruption } from "./disruption.ts";
import { measureLogs } from "./logs.ts";
import { measureQueue } from "./queue.ts";
import { measureSilentConnections } from "./silent-connections.ts";
import { measureAnswersDuringStart, measureFarStart, measureMemory } from "./start.ts";
import { measureCalls, measureUsersStat } from "./stats.ts";
import { measureSurvival } from "./survival.ts";
import { measureInbounds, measureNewUsers } from "./users.ts";
import { startTicker } from "./vless.ts";

// What a node with a real Xray costs and what its users notice. Runs what has the argument in its name: everything by
// default.

const only = process.argv[2] ?? "";
const directory = mkdtempSync(join(tmpdir(), "garrison-bench-"));
const emptyFrame = join(directory, "empty.frame");
writeFileSync(emptyFrame, Buffer.alloc(5));
const ticker = await startTicker();

const measures: Record<string, () => Promise<void>> = {
  "new users": () => measureNewUsers(ticker, [0, 1_000, 10_000, 50_000]),
  queue: () => measureQueue(ticker),
  disruption: () => measureDisruption(ticker),
  inbounds: () => measureInbounds([1, 10, 50]),
  "far start": measureFarStart,
  "answers during start": measureAnswersDuringStart,
  "users stat": () => measureUsersStat(ticker),
  calls: () => measureCalls(emptyFrame),
  "bad user": measureBadUser,
  accounting: measureAccounting,
  survival: () => measureSurvival(ticker),
  "silent connections": measureSilentConnections,
  logs: measureLogs,
  memory: () => measureMemory(30_000),
};

try {
  for (const [name, measure] of Object.entries(measures)) {
    if (!name.includes(only)) continue;
    console.log(`\n== ${name}`);
    await measure();
  }
} finally {
  ticker.close();
  rmSync(directory, { recursive: true });
}
