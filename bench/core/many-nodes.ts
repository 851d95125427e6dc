import { readFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { shareDatabase } from "../../test/core/shared-database.ts";
import { startServer } from "../child-server.ts";
import { report } from "../node/report.ts";
import { quantile } from "../rounds.ts";
import { startNodes } from "./simulated-nodes.ts";

const intervalMs = 15_000;
const steadyMs = 2 * intervalMs;
const afterStormMs = 5_000;

/** What nodes that beat every 15 s cost Core, and how long they wait when all of them come back at once. */
export async function measureManyNodes(): Promise<void> {
  for (const count of [1_000, 5_000]) {
    const shared = await shareDatabase("sqlite");
    const script = new URL("serve-core.ts", import.meta.url).pathname;
    const core = await startServer(script, [shared.location.file ?? "", `${count}`, "1"], "both");
    const nodes = startNodes(core.port, count, intervalMs);
    await pause(intervalMs + 1_000); // until all have come
    nodes.taken();
    const before = await processorMs(core.pid);
    await pause(steadyMs);
    const steady = nodes.taken();
    const busyMs = (await processorMs(core.pid)) - before;
    const { reconnectMs } = nodes;
    nodes.cut();
    await pause(reconnectMs + afterStormMs);
    const storm = nodes.taken();
    const about = `${count} nodes that beat every 15 s`;
    report({ about: `${about}: p99`, value: quantile(steady.waitsMs, 0.99), unit: "ms", atMost: 50 });
    report({ about: "  of one processor", value: (100 * busyMs) / steadyMs, unit: "%" });
    report({ about: "  memory", value: await residentMib(core.pid), unit: "MiB" });
    const reference = { about: "the nodes", value: count };
    report({
      about: `  all come back within ${reconnectMs / 1000} s, as they are told: heartbeats`,
      value: storm.waitsMs.length,
      unit: "calls",
      reference,
    });
    report({ about: "  p99 of these", value: quantile(storm.waitsMs, 0.99), unit: "ms", atMost: 50 });
    report({ about: "  not answered, in all", value: steady.failed + storm.failed, unit: "calls", atMost: 0 });
    await nodes.close();
    await core.close();
    await shared.close();
  }
}

async function processorMs(pid: number): Promise<number> {
  const [, fields = ""] = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ");
  const [user = 0, system = 0] = fields.split(" ").slice(11, 13).map(Number);
  return 10 * (user + system); // ticks of a hundredth of a second
}

async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}
