import { writeFile } from "node:fs/promises";
import { Agent, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { engines, shareDatabase } from "../../test/core/shared-database.ts";
import { startServer } from "../child-server.ts";
import { type Load, requestsPerSecond } from "../h2load.ts";
import { report } from "../node/report.ts";
import { median, quantile } from "../rounds.ts";
import { benchKey } from "./config-keys.ts";
import { nodes, type Report, reportsOf, users } from "./usage-bodies.ts";

const rounds = 3;
const seconds = 3;
const batchesPerSecond = 2;
const entriesPerBatch = 5_000;

const script = (name: string) => new URL(name, import.meta.url).pathname;

/** Heartbeats a second, alone and while large reports of usage arrive, beside a bare server's in the same rounds. */
export async function measureHeartbeats(): Promise<void> {
  const bodyFile = join(tmpdir(), `garrison-heartbeat-${process.pid}.json`);
  await writeFile(bodyFile, JSON.stringify({ ip: "192.0.2.1", configVersion: "1", xrayOnline: true, uptime: 100 }));
  const floor = await startServer(script("serve-heartbeats-floor.ts"), [], "both");
  for (const engine of engines) {
    const shared = await shareDatabase(engine);
    const { file, url } = shared.location;
    const core = await startServer(script("serve-core.ts"), [file ?? url ?? "", `${nodes}`, `${users}`], "both");
    const load = {
      path: "/node/heartbeat",
      headers: { "x-node-auth-key": benchKey(0), "content-type": "application/json" },
      ...{ bodyFile, http1: true, clients: 32, parallel: 1, amount: { seconds } },
    } satisfies Partial<Load>;
    const bare: number[] = [];
    const alone: number[] = [];
    const beside: number[] = [];
    const waits: number[] = [];
    const onWaits = (some: number[]) => void waits.push(...some);
    for (let round = 0; round <= rounds; round += 1) {
      const theirs = await requestsPerSecond({ ...load, port: floor.port });
      const ours = await requestsPerSecond({ ...load, port: core.port });
      const reports = startReports(core.port, round);
      const both = await requestsPerSecond({ ...load, port: core.port, ...(round > 0 && { onWaits }) });
      await reports.stop();
      if (round === 0) continue; // until code is compiled
      bare.push(theirs);
      alone.push(ours);
      beside.push(both);
    }
    const reference = { about: "a bare server", value: median(bare) };
    report({ about: `heartbeats, ${engine}`, value: median(alone), unit: "calls/s", reference });
    const about = `heartbeats while ${batchesPerSecond * entriesPerBatch} entries of usage a second arrive, ${engine}`;
    report({ about, value: median(beside), unit: "calls/s", atLeast: 10_000, reference });
    report({ about: "  p99", value: quantile(waits, 0.99), unit: "ms", atMost: 10 });
    await core.close();
    await shared.close();
  }
  await floor.close();
}

/** Sends reports at a steady pace, those of a node in order, until it is stopped. Throws then when one was refused. */
function startReports(port: number, round: number): { stop(): Promise<void> } {
  const minute = Math.floor(Date.now() / 60_000) * 60_000 - 24 * 60 * 60_000 + round * 60_000;
  const waiting = reportsOf(minute, `epoch-${round}`, entriesPerBatch);
  const agent = new Agent({ keepAlive: true });
  let stopped = false;
  const sendAll = async (reports: readonly Report[]) => {
    for (const each of reports) {
      const next = pause((1_000 * nodes) / batchesPerSecond);
      if (stopped) return;
      await send(port, agent, each);
      await next;
    }
  };
  const sending = Promise.all(
    waiting.map(async (reports, index) => {
      await pause((index * 1_000) / batchesPerSecond);
      await sendAll(reports);
    }),
  );
  return {
    async stop() {
      stopped = true;
      await sending;
      agent.destroy();
    },
  };
}

function send(port: number, agent: Agent, { nodeId, body }: Report): Promise<void> {
  const headers = { "x-node-auth-key": benchKey(nodeId - 1), "content-type": "application/json" };
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const sent = request({ agent, port, host: "127.0.0.1", path: "/node/usage", method: "POST", headers }, (answer) => {
    answer.resume();
    if (answer.statusCode === 200) answer.on("end", resolve);
    else reject(new Error(`a report of usage was answered ${answer.statusCode}`));
  });
  sent.on("error", reject).end(body);
  return promise;
}
