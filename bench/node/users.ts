import type { Way } from "../../test/support/vless-client.ts";
import { median } from "../rounds.ts";
import { startCaller } from "./caller.ts";
import { engineStartMs } from "./engine-alone.ts";
import { emailOf, idOf } from "./made-users.ts";
import { configOf, startNodeUnderTest } from "./node-under-test.ts";
import { report } from "./report.ts";
import { type Ticker, untilThrough } from "./vless.ts";

/** How long it takes until new users can connect: at Start, and added to a node that runs. */
export async function measureNewUsers(ticker: Ticker, counts: readonly number[]): Promise<void> {
  for (const count of counts) {
    const { config, ports, tags } = await configOf(1);
    const way = wayTo(ports, ticker);
    const many = { count, tags };
    const [port = 0] = ports;
    const clients = Array.from({ length: count }, (_, index) => ({ id: idOf(index), email: emailOf(index) }));
    const reference = { about: "Xray alone", value: await engineStartMs(config, clients, port) };
    const label = `${count.toLocaleString("en")} users`;

    const started = await startNodeUnderTest();
    const starter = await startCaller(started);
    const start = await starter.prepare({ call: "start", config, users: [many] });
    const begun = performance.now();
    const replyMs = await start.send();
    report({
      about: `Start of ${label}: reply`,
      value: replyMs,
      unit: "ms",
      reference,
      ...startLimits.get(count)?.reply,
    });
    let atStartMs: number | undefined;
    if (count > 0) {
      await untilThrough(way, idOf(count - 1));
      atStartMs = performance.now() - begun;
      const about = `Start of ${label}: the last one's first byte`;
      report({ about, value: atStartMs, unit: "ms", reference, ...startLimits.get(count)?.firstByte });
    }
    await starter.close();
    await started.close();
    if (atStartMs === undefined) continue;

    const running = await startNodeUnderTest();
    const caller = await startCaller(running);
    await (await caller.prepare({ call: "start", config, users: [{ count: 1, tags, from: 1_000_000 }] })).send();
    const add = await caller.prepare({ call: "syncUsersChunked", users: [many] });
    const addedAt = performance.now();
    const addedMs = await add.send();
    await untilThrough(way, idOf(count - 1));
    const liveMs = performance.now() - addedAt;
    report({ about: `${label} added live: reply`, value: addedMs, unit: "ms" });
    const about = `${label} added live: the last one connects`;
    report({ about, value: liveMs, unit: "ms", reference: { about: "Start", value: atStartMs } });
    await caller.close();
    await running.close();
  }
}

// Bytes come never later than through the Go node 0.5.2.
const startLimits = new Map([
  [0, { reply: { atMost: 120 }, firstByte: {} }],
  [10_000, { reply: { atMost: 400 }, firstByte: { atMost: 320 } }],
  [50_000, { reply: { atMost: 1_600 }, firstByte: { atMost: 1_570 } }],
]);

/** What a changed user costs with many inbounds: milliseconds, and calls of the engine. */
export async function measureInbounds(counts: readonly number[]): Promise<void> {
  for (const count of counts) {
    const node = await startNodeUnderTest();
    const caller = await startCaller(node);
    const { config, tags } = await configOf(count);
    await (await caller.prepare({ call: "start", config, users: [{ count: 1_000, tags }] })).send();
    const perUser = async (about: string, tagsOfUser: readonly string[], from: number, limits: Limits) => {
      const rounds: number[] = [];
      const callsBefore = (await node.measures()).engineChanges;
      for (let round = 0; round < roundsOfUsers; round += 1) {
        const some = { count: usersOfRound, tags: tagsOfUser, from: from === 0 ? 0 : from + usersOfRound * round };
        const sync = await caller.prepare({ call: "syncUsersChunked", users: [some] });
        rounds.push((await sync.send()) / usersOfRound);
      }
      const calls = ((await node.measures()).engineChanges - callsBefore) / (roundsOfUsers * usersOfRound);
      const inbounds = `${count} inbound${count === 1 ? "" : "s"}`;
      const ms = count === 50 ? { atMost: limits.ms } : {};
      report({ about: `${inbounds}: a user ${about}`, value: median(rounds), unit: "ms", ...ms });
      report({
        about: `${inbounds}: a user ${about}: engine calls`,
        value: calls,
        unit: "calls",
        atMost: limits.calls,
      });
    };
    await perUser("new in all", tags, 100_000, { ms: 8, calls: count });
    await perUser("unchanged", tags, 0, { ms: 0.05, calls: 0 });
    await perUser("new in one", tags.slice(0, 1), 200_000, { ms: 0.4, calls: 1 });
    await caller.close();
    await node.close();
  }
}

interface Limits {
  readonly ms: number;
  readonly calls: number;
}

const roundsOfUsers = 5;
const usersOfRound = 100;

function wayTo(ports: readonly number[], ticker: Ticker): Way {
  return { inboundPort: ports[0] ?? 0, targetPort: ticker.port };
}
