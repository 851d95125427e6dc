import { setTimeout as sleep } from "node:timers/promises";
import { StatType } from "../../gen/service/node_pb.ts";
import { type ByteTarget, startByteTarget } from "../../test/support/byte-target.ts";
import { startLossyRelay } from "../../test/support/lossy-relay.ts";
import { carry } from "../../test/support/vless-client.ts";
import { emailOf, idOf, users } from "./made-users.ts";
import { configOf, type NodeUnderTest, startNodeUnderTest } from "./node-under-test.ts";
import { report } from "./report.ts";

const each = 20_000;

/** What is reported of the bytes that users carry, across all that is done to a node, and when replies get lost. */
export async function measureAccounting(): Promise<void> {
  const target = await startByteTarget();
  const node = await startNodeUnderTest();
  try {
    await acrossChanges(node, target);
    await acrossLostReplies(node, target);
  } finally {
    await node.close();
    await target.close();
  }
}

async function acrossChanges(node: NodeUnderTest, target: ByteTarget): Promise<void> {
  const { config, ports, tags } = await configOf(1);
  const all = users({ count: 20, tags });
  let carried = 0;
  const use = async () => {
    await carry(ports[0] ?? 0, idOf(0), target, each, each);
    carried += 2 * each;
  };
  const reported = { bytes: 0 };
  const read = async () => {
    reported.bytes += await taken(node);
  };
  await node.client.start({ config, users: all });
  await use();
  await node.client.syncUsers({ users: all.slice(0, 10) });
  await use();
  await read();
  await use();
  await node.client.stop({});
  await node.client.start({ config, users: all });
  await use();
  await read();
  await use();
  const other = config.replace('"loglevel":"warning"', '"loglevel":"error"');
  await node.client.start({ config: other, users: all }); // takes a restart
  await use();
  await node.client.start({ config: other, users: all });
  await use();
  await read();
  await sleep(50);
  await read();
  const value = (100 * reported.bytes) / carried;
  const about = "bytes reported of those carried across SyncUsers, Stop + Start, Start again";
  report({ about, value, unit: "%", atLeast: 100, atMost: 100 });
}

const rounds = 10;

async function acrossLostReplies(node: NodeUnderTest, target: ByteTarget): Promise<void> {
  const { config, ports, tags } = await configOf(1);
  await node.client.start({ config, users: users({ count: 20, tags }) });
  await taken(node);
  for (const [how, bytes] of [
    ["before its first byte", 0],
    ["in the middle", 30],
  ] as const) {
    let [carried, later] = [0, 0];
    for (let round = 0; round < rounds; round += 1) {
      const relay = await startLossyRelay(new URL(node.url));
      const far = node.clientAt(relay.url);
      await far.getBaseInfo({});
      await carry(ports[0] ?? 0, idOf(1), target, each, each);
      carried += 2 * each;
      const swallowed = relay.swallowAfter(bytes);
      const cut = far.getStats({ type: StatType.UsersStat, reset: true }, { timeoutMs: 5_000 }).catch(() => undefined);
      await swallowed;
      relay.reset();
      await cut;
      await relay.close();
      await sleep(100);
      later += await taken(node);
      later += await taken(node);
    }
    const about = `the reply of a reset=true read cut ${how}: reported later, once`;
    report({ about, value: (100 * later) / carried, unit: "%", atLeast: 100, atMost: 100 });
  }
}

/** Bytes of all users since the last reset, which this is. */
async function taken(node: NodeUnderTest): Promise<number> {
  const { stats } = await node.client.getStats({ type: StatType.UsersStat, reset: true });
  const known = new Set([emailOf(0), emailOf(1)]);
  await node.client.getBaseInfo({}); // tells the node that the reply has come
  return stats.reduce((sum, { name, value }) => sum + (known.has(name) ? Number(value) : 0), 0);
}
