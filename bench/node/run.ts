import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { measureLogs } from "./logs.ts";
import { measureAnswersDuringStart, measureFarStart, measureMemory } from "./start.ts";
import { measureCalls, measureUsersStat } from "./stats.ts";
import { measureDisruption, measureInbounds, measureNewUsers } from "./users.ts";
import { startTicker } from "./vless.ts";

// What a node with a real Xray costs and what its users notice. Runs what has the argument in its name: everything by
// default.

const only = process.argv[2] ?? "";
const directory = mkdtempSync(join(tmpdir(), "garrison-bench-"));
const emptyFrame = join(directory, "empty.frame");
writeFileSync(emptyFrame, Buffer.alloc(5));
const ticker = await startTicker();

const measures: Record<string, () => Promise<void>> = {
  "new users": () => measureNewUsers(ticker, [1_000, 10_000, 50_000]),
  disruption: () => measureDisruption(ticker),
  inbounds: () => measureInbounds([1, 10, 50]),
  "far start": measureFarStart,
  "answers during start": measureAnswersDuringStart,
  "users stat": () => measureUsersStat(ticker),
  calls: () => measureCalls(emptyFrame),
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
