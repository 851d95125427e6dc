import type { Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SubscriptionService } from "../../gen/garrison/core/v1/subscriptions_pb.ts";
import { createConnectionCutter } from "../../src/node/engines/sockets/connection-cutter.ts";
import { until } from "../engines/engine-under-test.ts";
import { startVlessFleet, type VlessFleet } from "./vless-fleet-at-hand.ts";

const { inability } = await createConnectionCutter({ env: process.env });

let fleet: VlessFleet;
beforeEach(async () => {
  fleet = await startVlessFleet({ GARRISON_KICK: "on" });
});
afterEach(async (context) => {
  if (context.task.result?.state === "fail") console.log(fleet.node.log());
  await fleet.close();
});

test.skipIf(inability !== undefined)(
  "whose credentials Core replaces is cut off by a node with GARRISON_KICK=on, which tells and counts it",
  async () => {
    const { core, node, connect } = fleet;
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
