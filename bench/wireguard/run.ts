import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { BackendType, StatType } from "../../gen/service/node_pb.ts";
import { makeNamespace, mayMakeNamespaces, type NetworkNamespace } from "../../test/support/network-namespace.ts";
import { type NetworkTraffic, startTraffic } from "../../test/support/network-traffic.ts";
import { tapUapi } from "../../test/support/uapi-tap.ts";
import { wireGuardPath } from "../../test/wireguard-path.ts";
import { type Caller, startCaller } from "../node/caller.ts";
import { addressOf, keyOf } from "../node/made-users.ts";
import { type NodeUnderTest, startNodeUnderTest } from "../node/node-under-test.ts";
import { report } from "../node/report.ts";
import { median, quantile } from "../rounds.ts";
import { askWireGuard, type BareTimes, measureBare } from "./bare-interface.ts";

// What a node's WireGuard costs with many peers, beside what WireGuard itself takes for the same: the installed one, or
// the one that WIREGUARD_GO_PATH names.

const rounds = 20;
const firstUser = 2;
const name = `gn${process.pid}`;
const program = await wireGuardPath();
/** A peer whose key was changed has been taken away by then. */
const burialMs = 1_500;

if (await mayMakeNamespaces()) {
  console.log(`with ${program}`);
  const network = await makeNamespace(1);
  try {
    await measure(1_000, network);
    await measure(5_000, network, { start: 1_200, change: 5, sync: 80, stats: 120 });
  } finally {
    await network.close();
  }
} else console.log("WireGuard is not measured: only root may make the network that it is measured in");

/** In milliseconds. */
interface Targets {
  readonly start: number;
  readonly change: number;
  readonly sync: number;
  readonly stats: number;
}

async function measure(count: number, network: NetworkNamespace, atMost?: Targets): Promise<void> {
  console.log(`\n== ${count.toLocaleString("en")} peers`);
  const bare = await measureBare(count, network);
  const node = await startNodeUnderTest({ WIREGUARD_GO_PATH: program }, network);
  const caller = await startCaller(node);
  const traffic = await startTraffic(network);
  try {
    await measureNode({ count, bare, node, caller, traffic, atMost });
  } finally {
    await Promise.all([caller.close(), traffic.close()]);
    await node.close();
  }
}

interface Measured {
  readonly count: number;
  readonly bare: BareTimes;
  readonly node: NodeUnderTest;
  readonly caller: Caller;
  /** Inside the node's network. */
  readonly traffic: NetworkTraffic;
  readonly atMost: Targets | undefined;
}

async function measureNode({ count, bare, node, caller, traffic, atMost }: Measured): Promise<void> {
  const many = count.toLocaleString("en");
  const config = JSON.stringify({
    interface_name: name,
    private_key: randomBytes(32).toString("base64"),
    listen_port: 51_820,
    address: ["10.64.0.1/10"],
  });
  const everybody = { count, from: firstUser, tags: [name], wireGuardGeneration: 0 };
  const start = await caller.prepare({ call: "start", type: BackendType.WIREGUARD, config, users: [everybody] });
  const startMs = await start.send();
  report({
    about: `Start of ${many} peers`,
    value: startMs,
    unit: "ms",
    ...(atMost && { atMost: atMost.start }),
    reference: { about: "wireguard-go's own start, and one `set`", value: bare.start },
  });

  const changes: number[] = [];
  for (let round = 1; round <= rounds; round += 1) {
    const one = { count: 1, from: firstUser + round, tags: [name], wireGuardGeneration: round };
    changes.push(await (await caller.prepare({ call: "syncUsersChunked", users: [one] })).send());
  }
  report({
    about: `one key changed among ${many} peers, median`,
    value: median(changes),
    unit: "ms",
    ...(atMost && { atMost: atMost.change }),
    reference: { about: "one `set`", value: bare.setOne },
  });
  report({ about: `one key changed among ${many} peers, p95`, value: quantile(changes, 0.95), unit: "ms" });

  const sync = await caller.prepare({ call: "syncUsers", users: [everybody] });
  await sync.send();
  const syncs: number[] = [];
  for (let round = 0; round < rounds; round += 1) syncs.push(await sync.send());
  report({
    about: `full sync of the same ${many} users, median`,
    value: median(syncs),
    unit: "ms",
    ...(atMost && { atMost: atMost.sync }),
    reference: { about: "one `set` of all", value: bare.setAll },
  });
  await sleep(burialMs);
  const tap = await tapUapi(name);
  for (let round = 0; round < 3; round += 1) await sync.send();
  report({ about: "what three more of them write to WireGuard", value: tap.writes.length, unit: "calls", atMost: 0 });
  await tap.close();

  const active = await beActive(count, traffic);
  const { stats } = await node.client.getStats({ type: StatType.UsersStat });
  report({
    about: `UsersStat of ${many} users, 1 in 20 active`,
    value: stats.length,
    unit: "counters",
    atLeast: active,
  });
  const read = await caller.prepare({ call: "usersStat" });
  const reads: number[] = [];
  for (let round = 0; round < rounds; round += 1) reads.push(await read.send());
  report({
    about: `UsersStat of ${many} users, median`,
    value: median(reads),
    unit: "ms",
    ...(atMost && { atMost: atMost.stats }),
    reference: { about: "`get` alone", value: bare.get },
  });
  report({ about: `UsersStat of ${many} users, p95`, value: quantile(reads, 0.95), unit: "ms" });
  report({ about: "the node's memory", value: (await node.memory()).residentMib, unit: "MiB" });
}

/** Has bytes sent to one in twenty: they are nowhere, but WireGuard tries to shake hands. Returns how many they are. */
async function beActive(count: number, traffic: NetworkTraffic): Promise<number> {
  const numbers = Array.from({ length: count / 20 }, (_, index) => firstUser + 20 * index);
  const peers = numbers.flatMap((number) => [
    `public_key=${Buffer.from(keyOf(number, 0), "base64").toString("hex")}`,
    "update_only=true",
    "endpoint=127.0.0.1:9",
  ]);
  await askWireGuard(name, ["set=1", ...peers].join("\n"));
  for (const number of numbers) {
    const [host = ""] = addressOf(number).split("/");
    await traffic.startPinging({ host, port: 9, everyMs: 100, bytes: 100 });
  }
  await sleep(500);
  await traffic.stopPinging();
  return numbers.length;
}
