import { setTimeout as sleep } from "node:timers/promises";
import { startSlowRelay } from "../../test/support/slow-relay.ts";
import { startCaller } from "./caller.ts";
import { configOf, startNodeUnderTest } from "./node-under-test.ts";
import { report, timed } from "./report.ts";

const many = 50_000;

/** Start with 50,000 users over lines of some length, and how long other calls wait meanwhile. */
export async function measureFarStart(): Promise<void> {
  const { config, tags } = await configOf(1);
  let near = 0;
  for (const [roundTripMs, atMost] of [
    [0, undefined],
    [50, 2_200],
    [150, 2_800],
  ] as const) {
    const node = await startNodeUnderTest();
    const relay = await startSlowRelay(new URL(node.url), roundTripMs / 2);
    const caller = await startCaller({ url: relay.url, key: node.key });
    const ms = await (await caller.prepare({ call: "start", config, users: [{ count: many, tags }] })).send();
    if (roundTripMs === 0) near = ms;
    report({
      about: `Start of 50,000 users over ${roundTripMs} ms round trip: reply`,
      value: ms,
      unit: "ms",
      reference: { about: "no delay", value: near },
      ...(atMost !== undefined && { atMost }),
    });
    await caller.close();
    await relay.close();
    await node.close();
  }
}

/** The longest that GetBaseInfo takes while a Start runs. */
export async function measureAnswersDuringStart(): Promise<void> {
  for (const [count, atMost] of [
    [10_000, 60],
    [50_000, 100],
  ] as const) {
    const node = await startNodeUnderTest();
    const { config, tags } = await configOf(1);
    const other = node.clientAt(node.url);
    await other.getBaseInfo({});
    const caller = await startCaller(node);
    const start = await caller.prepare({ call: "start", config, users: [{ count, tags }] });
    let isOver = false;
    const starting = start.send().finally(() => {
      isOver = true;
    });
    let longestMs = 0;
    while (!isOver) {
      longestMs = Math.max(longestMs, (await timed(() => other.getBaseInfo({}))).ms);
      await sleep(1);
    }
    await starting;
    const about = `GetBaseInfo while a Start of ${count.toLocaleString("en")} users runs, longest`;
    report({ about, value: longestMs, unit: "ms", atMost });
    await caller.close();
    await node.close();
  }
}

/** The memory of the node's process: before anything, with 50,000 users, and the most in between. */
export async function measureMemory(quietMs: number): Promise<void> {
  const node = await startNodeUnderTest();
  const { config, tags } = await configOf(1);
  await node.client.getBaseInfo({});
  await sleep(quietMs);
  const idle = await node.memory();
  report({ about: "resident memory, idle", value: idle.residentMib, unit: "MiB", atMost: 120 });
  const caller = await startCaller(node);
  await (await caller.prepare({ call: "start", config, users: [{ count: many, tags }] })).send();
  await caller.close();
  await sleep(quietMs);
  const full = await node.memory();
  const reference = { about: "idle", value: idle.residentMib };
  report({ about: "resident memory, 50,000 users", value: full.residentMib, unit: "MiB", atMost: 220, reference });
  report({ about: "the most during Start", value: full.peakMib, unit: "MiB", atMost: 450, reference });
  await node.close();
}
