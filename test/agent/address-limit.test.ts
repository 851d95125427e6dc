import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NodeService as Fleet } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionService } from "../../gen/garrison/core/v1/subscriptions_pb.ts";
import { until } from "../engines/engine-under-test.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { freePorts } from "../support/ports.ts";
import { openVless, untilAdmitted } from "../support/vless-client.ts";
import { type CoreAtHand, type LinkAtHand, startCore } from "./core-at-hand.ts";
import { type NodeAtHand, startNode } from "./node-at-hand.ts";

// Xray counts no user from 127.0.0.1, but from its neighbours, which are this machine too.

let core: CoreAtHand;
let node: NodeAtHand;
let target: ByteTarget;
let port: number;
let link: LinkAtHand;
const open = new Set<Socket>();
beforeEach(async () => {
  core = await startCore();
  target = await startByteTarget();
  [port = 0] = await freePorts(1);
  node = await startNode({ CORE_ENROLMENT_CODE: await core.code() });
  const nodes = async () => (await core.operate(Fleet).listNodes({})).nodes;
  await until("the node is enrolled", async () => (await nodes()).length > 0, 10_000);
  const [{ id: nodeId = 0n } = {}] = await nodes();
  await core.addVless(Number(nodeId), port);
  link = await core.addUser();
});
afterEach(async (context) => {
  if (context.task.result?.state === "fail") console.log(node.log());
  for (const socket of open) socket.destroy();
  await node.close();
  await target.close();
  await core.close();
});

/** Connects from an address; the connection stays. Rejects where it is not let in. */
async function connectFrom(localAddress: string): Promise<Socket> {
  const socket = openVless({ inboundPort: port, targetPort: target.port, localAddress }, link.id);
  open.add(socket);
  const asked = Buffer.alloc(8);
  asked.writeUInt32BE(9, 0); // the last byte never comes
  asked.writeUInt32BE(8, 4);
  socket.write(asked);
  await untilAdmitted(socket);
  return socket;
}

const isLetIn = (address: string) =>
  connectFrom(address).then(
    (socket) => {
      socket.destroy();
      return true;
    },
    () => false,
  );

test("who comes from one address too many is refused, who was there stays, and takes the place when it is free", async () => {
  const [first, second, third] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"] as const;
  await until("the user is let in", () => isLetIn(first), 10_000);
  await core.operate(SubscriptionService).updateSubscription({ id: link.subscriptionId, deviceLimit: 2 });
  const kept = () => readFile(join(node.dataDir, "agent", "last-good.json"), "utf8").catch(() => "");
  await until("the limit holds", async () => /maxAddresses\\":2/.test(await kept()), 10_000);
  const [one, other] = [await connectFrom(first), await connectFrom(second)];
  await pause(1_500); // they are seen
  const late = await connectFrom(third).catch(() => undefined);
  await until("the third is refused", async () => !(await isLetIn(third)), 20_000);
  expect(await node.metrics()).toMatch(/garrison_agent_refused_addresses\{[^}]*\} 1\n/);
  expect([await isLetIn(first), await isLetIn(second)]).toEqual([true, true]);
  expect([one.closed, other.closed]).toEqual([false, false]);
  late?.destroy();
  other.destroy();
  await until("there is a place for the third", () => isLetIn(third), 20_000);
  const aside = await core.database.db.selectFrom("quarantined_entry").select("reason").execute();
  expect(aside).toEqual([]);
});
