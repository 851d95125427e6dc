import { setTimeout as sleep } from "node:timers/promises";
import { engineOf } from "../../test/support/child-processes.ts";
import { median } from "../rounds.ts";
import { type Caller, startCaller } from "./caller.ts";
import type { CallTask } from "./calls.ts";
import { idOf, type MadeUsers } from "./made-users.ts";
import { configOf, type NodeUnderTest, startNodeUnderTest } from "./node-under-test.ts";
import { report } from "./report.ts";
import { type Audience, gather, type Ticker, untilThrough } from "./vless.ts";

const audienceSize = 50;
const many = 10_000;

/** What 50 people who are connected notice of changes to 10,000 users. */
export async function measureDisruption(ticker: Ticker): Promise<void> {
  const node = await startNodeUnderTest();
  const caller = await startCaller(node);
  const { config, ports, tags } = await configOf(1);
  const way = { inboundPort: ports[0] ?? 0, targetPort: ticker.port };
  const all: MadeUsers = { count: many, tags };
  const some = (count: number, from: number): MadeUsers => ({ count, tags, from });
  await (await caller.prepare({ call: "start", config, users: [all] })).send();
  const people = await gather(
    way,
    Array.from({ length: audienceSize }, (_, index) => idOf(index)),
  );
  const watched: Watched = { node, caller, people };
  try {
    await notice(watched, "nothing at all", undefined);
    const same = { call: "syncUsers", users: [all] } as const;
    await notice(watched, `identical SyncUsers of ${named(many)}, the first one`, same, undefined, 0);
    await notice(watched, `identical SyncUsers of ${named(many)}`, same, 60, 0, 7);
    await notice(watched, "SyncUsers, one user more", { call: "syncUsers", users: [all, some(1, many)] }, undefined, 1);
    for (const [count, from, atMost] of [
      [100, 20_000, 60],
      [101, 25_000, undefined],
      [1_000, 30_000, undefined],
      [5_000, 40_000, undefined],
    ] as const) {
      const about = `${named(count)} new users, chunked`;
      const begun = performance.now();
      const spentMs = await notice(
        watched,
        about,
        { call: "syncUsersChunked", users: [some(count, from)] },
        atMost,
        count,
      );
      if (count !== 5_000) continue;
      await untilThrough(way, idOf(from + count - 1));
      const value = performance.now() - begun - spentMs;
      report({ about: `${about}: the last one connects`, value, unit: "ms", atMost: 700 });
    }
    const users = [all, some(1, many), some(100, 20_000), some(101, 25_000), some(1_000, 30_000), some(5_000, 40_000)];
    await notice(watched, "Start with the same config and users", { call: "start", config, users }, undefined, 0);
    const about = "Start with the same config, without 6,202 of the users";
    await notice(watched, about, { call: "start", config, users: [all] }, undefined, 6_202);
    const bad = config.replace('"vless"', '"no such protocol"');
    await notice(watched, "Start with a bad config", { call: "start", config: bad, users: [all] }, undefined, 0);
  } finally {
    people.close();
    await caller.close();
    await node.close();
  }
}

interface Watched {
  readonly node: NodeUnderTest;
  readonly caller: Caller;
  readonly people: Audience;
}

/**
 * Reports what a call costs, of several the one in the middle, and what people notice. Returns the milliseconds that were
 * spent besides the call.
 */
async function notice(
  { node, caller, people }: Watched,
  about: string,
  task: CallTask | undefined,
  atMost?: number,
  engineCalls?: number,
  rounds = 1,
): Promise<number> {
  const begun = performance.now();
  const call = task && (await caller.prepare(task));
  const engine = await engineOf(node.pid);
  await sleep(settlingMs);
  const before = await node.measures();
  people.observe();
  const replies: number[] = [];
  let failure: string | undefined;
  for (let round = 0; round < rounds && call !== undefined && failure === undefined; round += 1) {
    await call.send().then(
      (ms) => replies.push(ms),
      (error: Error) => {
        failure = error.message;
      },
    );
  }
  const after = await node.measures();
  await sleep(settlingMs);
  const { dropped, longestGapMs } = people.observe();
  report({ about: `${about}: longest gap in what people receive`, value: longestGapMs, unit: "ms" });
  report({ about: `${about}: of ${audienceSize} connections dropped`, value: dropped, unit: "connections", atMost: 0 });
  if (call === undefined) return 0;
  const kept = (await engineOf(node.pid)) === engine ? 100 : 0;
  report({ about: `${about}: engine kept`, value: kept, unit: "%", atLeast: 100 });
  if (failure !== undefined) console.log(`${about}: "${failure.split("\n")[0]}"`);
  if (failure !== undefined) return 0;
  const replyMs = median(replies);
  report({ about: `${about}: reply`, value: replyMs, unit: "ms", ...(atMost !== undefined && { atMost }) });
  const processorMs = (after.processorMs - before.processorMs) / rounds;
  const reference = { about: "it", value: replyMs };
  report({ about: `${about}: the node's processor time`, value: processorMs, unit: "ms", reference });
  report({ about: `${about}: longest stall of the event loop`, value: after.longestStallMs, unit: "ms" });
  const calls = after.engineChanges - before.engineChanges;
  if (engineCalls !== undefined)
    report({ about: `${about}: engine calls`, value: calls, unit: "calls", atMost: engineCalls });
  return performance.now() - begun - replyMs;
}

// Long enough for a gap to be seen.
const settlingMs = 200;

function named(count: number): string {
  return count.toLocaleString("en");
}
