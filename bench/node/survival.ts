import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { engineOf, isAlive } from "../../test/support/child-processes.ts";
import { openVless, untilAdmitted } from "../../test/support/vless-client.ts";
import { startCaller } from "./caller.ts";
import { engineStartMs } from "./engine-alone.ts";
import { emailOf, idOf } from "./made-users.ts";
import { configOf, startNodeUnderTest } from "./node-under-test.ts";
import { report } from "./report.ts";
import { gather, type Ticker, untilThrough } from "./vless.ts";

const count = 1_000;
const peopleCount = 50;

/** What is left of service when the engine is killed, or the node, or asked to go while somebody reads the log. */
export async function measureSurvival(ticker: Ticker): Promise<void> {
  await killEngine(ticker);
  await killNode(ticker);
  await endWithLogOpen();
}

async function killEngine(ticker: Ticker): Promise<void> {
  const { config, ports, tags } = await configOf(1);
  const [port = 0] = ports;
  const clients = Array.from({ length: count }, (_, index) => ({ id: idOf(index), email: emailOf(index) }));
  const startMs = await engineStartMs(config, clients, port);
  const node = await startNodeUnderTest();
  const caller = await startCaller(node);
  await (await caller.prepare({ call: "start", config, users: [{ count, tags }] })).send();
  await untilThrough({ inboundPort: port, targetPort: ticker.port }, idOf(0));
  const killedAt = performance.now();
  process.kill(await engineOf(node.pid), "SIGKILL");
  await sleep(1);
  await untilThrough({ inboundPort: port, targetPort: ticker.port }, idOf(count - 1));
  const value = performance.now() - killedAt;
  const reference = { about: "Xray's start alone", value: startMs };
  report({
    about: "kill -9 of the engine: a request works again",
    value,
    unit: "ms",
    atMost: 400 + startMs,
    reference,
  });
  await caller.close();
  await node.close();
}

async function killNode(ticker: Ticker): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "garrison-bench-"));
  const variables = { GARRISON_DATA_DIR: directory, GARRISON_RESUME: "on" };
  const { config, ports, tags } = await configOf(1);
  const way = { inboundPort: ports[0] ?? 0, targetPort: ticker.port };
  const node = await startNodeUnderTest(variables);
  const caller = await startCaller(node);
  await (await caller.prepare({ call: "start", config, users: [{ count, tags }] })).send();
  await caller.close();
  const people = await gather(
    way,
    Array.from({ length: peopleCount }, (_, index) => idOf(index)),
  );
  const engine = await engineOf(node.pid);
  const killedAt = performance.now();
  process.kill(node.pid, "SIGKILL");
  await node.close();
  const next = await startNodeUnderTest(variables);
  while (!(await next.client.getBaseInfo({})).started) await sleep(5);
  report({
    about: "kill -9 of the node: the next one has the engine",
    value: performance.now() - killedAt,
    unit: "ms",
  });
  await sleep(200);
  const { dropped, longestGapMs } = people.observe();
  const about = "kill -9 of the node";
  report({ about: `${about}: of ${peopleCount} connections dropped`, value: dropped, unit: "connections", atMost: 0 });
  report({ about: `${about}: longest gap in what people receive`, value: longestGapMs, unit: "ms" });
  let usable = 0;
  for (let from = 0; from < count; from += 100) {
    const sockets = Array.from({ length: 100 }, (_, index) => untilAdmitted(openVless(way, idOf(from + index))));
    for (const end of await Promise.allSettled(sockets)) {
      if (end.status === "rejected") continue;
      usable += 1;
      end.value.destroy();
    }
  }
  report({ about: `${about}: users who get through`, value: (100 * usable) / count, unit: "%", atLeast: 100 });
  report({ about: `${about}: the engine lives`, value: (await isAlive(engine)) ? 100 : 0, unit: "%", atLeast: 100 });
  people.close();
  await next.client.stop({}); // else the engine outlives this node, too
  await next.close();
  await rm(directory, { recursive: true });
}

async function endWithLogOpen(): Promise<void> {
  const node = await startNodeUnderTest();
  const { config } = await configOf(1);
  await node.client.start({ config });
  const answer = await fetch(`${node.url}/logs`, { headers: { "x-api-key": node.key } });
  const reading = answer.text().catch(() => "");
  const begun = performance.now();
  await node.close();
  const value = performance.now() - begun;
  report({ about: "SIGTERM with an open log stream: gone after", value, unit: "ms", atMost: 1_000 });
  await reading;
}
