import { create } from "@bufbuild/protobuf";
import { type User, UsersChunkSchema } from "../../gen/service/node_pb.ts";
import type { Way } from "../../test/support/vless-client.ts";
import { median } from "../rounds.ts";
import { configOf, idOf, startNodeUnderTest, users } from "./node-under-test.ts";
import { report, timed } from "./report.ts";
import { gather, type Ticker, untilThrough } from "./vless.ts";

/** How long it takes until new users can connect: at Start, and added to a node that runs. */
export async function measureNewUsers(ticker: Ticker, counts: readonly number[]): Promise<void> {
  for (const count of counts) {
    const { config, ports, tags } = await configOf(1);
    const way = wayTo(ports, ticker);
    const many = users(count, tags);
    const last = idOf(count - 1);

    const started = await startNodeUnderTest();
    const begun = performance.now();
    const reply = await timed(() => started.client.start({ config, users: many }));
    await untilThrough(way, last);
    const atStartMs = performance.now() - begun;
    const label = `${count.toLocaleString("en")} users`;
    const limits = startLimitsMs.get(count);
    report({ about: `Start of ${label}: reply`, value: reply.ms, unit: "ms", ...limits });
    report({ about: `Start of ${label}: the last one connects`, value: atStartMs, unit: "ms" });
    await started.close();

    const running = await startNodeUnderTest();
    await running.client.start({ config, users: users(1, tags, 1_000_000) });
    const addedAt = performance.now();
    const added = await timed(() => running.client.syncUsersChunked(chunks(many)));
    await untilThrough(way, last);
    const value = performance.now() - addedAt;
    report({ about: `${label} added live: reply`, value: added.ms, unit: "ms" });
    report({
      about: `${label} added live: the last one connects`,
      value,
      unit: "ms",
      reference: { about: "Start", value: atStartMs },
    });
    await running.close();
  }
}

const startLimitsMs = new Map([
  [10_000, { atMost: 400 }],
  [50_000, { atMost: 1_600 }],
]);

/** What 50 people who are connected notice of changes to 10,000 users. */
export async function measureDisruption(ticker: Ticker): Promise<void> {
  const node = await startNodeUnderTest();
  const { config, ports, tags } = await configOf(1);
  const all = users(10_000, tags);
  await node.client.start({ config, users: all });
  const people = await gather(
    wayTo(ports, ticker),
    Array.from({ length: 50 }, (_, index) => idOf(index)),
  );
  const notice = async (about: string, work: () => Promise<unknown>, atMost?: number) => {
    people.observe();
    const { ms } = await timed(work);
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { dropped, longestGapMs } = people.observe();
    report({ about: `${about}: reply`, value: ms, unit: "ms", ...(atMost !== undefined && { atMost }) });
    report({ about: `${about}: of 50 connections dropped`, value: dropped, unit: "connections", atMost: 0 });
    report({ about: `${about}: longest gap in what they receive`, value: longestGapMs, unit: "ms" });
  };
  try {
    await notice("nothing at all", async () => undefined);
    await notice("identical SyncUsers of 10,000", () => node.client.syncUsers({ users: all }), 60);
    const more = [...all, ...users(1, tags, 10_000)];
    await notice("SyncUsers of 10,001, one of them new", () => node.client.syncUsers({ users: more }));
    await notice("100 new users, chunked", () => node.client.syncUsersChunked(chunks(users(100, tags, 20_000))), 60);
    await notice(
      "5,000 new users, chunked",
      () => node.client.syncUsersChunked(chunks(users(5_000, tags, 30_000))),
      700,
    );
    await notice("Start with the same config and 10,000 users", () => node.client.start({ config, users: all }));
    const bad = config.replace('"vless"', '"no such protocol"');
    await notice("Start with a bad config", () => node.client.start({ config: bad }).catch(() => undefined));
  } finally {
    people.close();
    await node.close();
  }
}

/** What a changed user costs with many inbounds. */
export async function measureInbounds(counts: readonly number[]): Promise<void> {
  for (const count of counts) {
    const node = await startNodeUnderTest();
    const { config, tags } = await configOf(count);
    await node.client.start({ config, users: users(1_000, tags) });
    const perUser = async (about: string, tagsOfUser: readonly string[], from: number, atMost?: number) => {
      const rounds: number[] = [];
      for (let round = 0; round < 5; round += 1) {
        const some = users(100, tagsOfUser, from === 0 ? 0 : from + 100 * round);
        const { ms } = await timed(() => node.client.syncUsersChunked(chunks(some)));
        rounds.push(ms / some.length);
      }
      const inbounds = `${count} inbound${count === 1 ? "" : "s"}`;
      const value = median(rounds);
      report({ about: `${inbounds}: a user ${about}`, value, unit: "ms", ...(atMost !== undefined && { atMost }) });
      return value;
    };
    const limited = count === 50;
    await perUser("new in all", tags, 100_000, limited ? 8 : undefined);
    await perUser("unchanged", tags, 0, limited ? 0.05 : undefined);
    await perUser("new in one", tags.slice(0, 1), 200_000, limited ? 0.4 : undefined);
    await node.close();
  }
}

function wayTo(ports: readonly number[], ticker: Ticker): Way {
  return { inboundPort: ports[0] ?? 0, targetPort: ticker.port };
}

/** Users as a panel sends them: 1,000 a chunk. */
async function* chunks(all: readonly User[]) {
  const size = 1_000;
  for (let from = 0; from < all.length; from += size) {
    const last = from + size >= all.length;
    yield create(UsersChunkSchema, { index: BigInt(from / size), users: all.slice(from, from + size), last });
  }
}
