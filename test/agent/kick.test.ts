import type { Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NodeService as Fleet } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionService } from "../../gen/garrison/core/v1/subscriptions_pb.ts";
import { createConnectionCutter } from "../../src/node/engines/sockets/connection-cutter.ts";
import { until } from "../engines/engine-under-test.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { freePorts } from "../support/ports.ts";
import { openVless, untilAdmitted } from "../support/vless-client.ts";
import { type CoreAtHand, startCore } from "./core-at-hand.ts";
import { type NodeAtHand, startNode } from "./node-at-hand.ts";

const { inability } = await createConnectionCutter({ env: process.env });

let core: CoreAtHand;
let node: NodeAtHand;
let target: ByteTarget;
let port: number;
const open = new Set<Socket>();
beforeEach(async () => {
  core = await startCore();
  target = await startByteTarget();
  [port = 0] = await freePorts(1);
  node = await startNode({ CORE_ENROLMENT_CODE: await core.code(), GARRISON_KICK: "on" });
  const nodes = async () => (await core.operate(Fleet).listNodes({})).nodes;
  await until("the node is enrolled", async () => (await nodes()).length > 0, 10_000);
  const [{ id: nodeId = 0n } = {}] = await nodes();
  await core.addVless(Number(nodeId), port);
});
afterEach(async (context) => {
  if (context.task.result?.state === "fail") console.log(node.log());
  for (const socket of open) socket.destroy();
  await node.close();
  await target.close();
  await core.close();
});

/** Connects from a neighbour's address, since Xray counts nobody from 127.0.0.1; the connection stays. */
async function connect(id: string): Promise<Socket> {
  const socket = openVless({ inboundPort: port, targetPort: target.port, localAddress: "127.0.0.2" }, id);
  open.add(socket);
  const asked = Buffer.alloc(8);
  asked.writeUInt32BE(9, 0); // the last byte never comes
  asked.writeUInt32BE(8, 4);
  socket.write(asked);
  await untilAdmitted(socket);
  return socket;
}

test.skipIf(inability !== undefined)(
  "whose credentials Core replaces is cut off by a node with GARRISON_KICK=on, which tells and counts it",
  async () => {
    const link = await core.addUser();
    let socket: Socket | undefined;
    const tryToConnect = async () => {
      socket = await connect(link.id).catch(() => undefined);
      return socket !== undefined;
    };
    await until("the user is let in", tryToConnect, 20_000);
    const ended = new Promise((resolve) => socket?.on("error", () => undefined).once("close", resolve));
    const { subscriptions } = await core.operate(SubscriptionService).listSubscriptions({});
    await core.operate(SubscriptionService).rotateSubscriptionLinks({ id: subscriptions[0]?.id ?? 0n });
    await ended;
    await until("it is counted", async () => /cut_total\{?[^\n]* 1$/m.test(await node.metrics()), 5_000);
    expect(node.log()).toMatch(/"cut":1,"left":0,"users":1[^\n]*"connections of users cut"/);
  },
  60_000,
);
