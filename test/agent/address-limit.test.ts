import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SubscriptionService } from "../../gen/garrison/core/v1/subscriptions_pb.ts";
import { until } from "../engines/engine-under-test.ts";
import type { LinkAtHand } from "./core-at-hand.ts";
import { startVlessFleet, type VlessFleet } from "./vless-fleet-at-hand.ts";

let fleet: VlessFleet;
let link: LinkAtHand;
beforeEach(async () => {
  fleet = await startVlessFleet();
  link = await fleet.core.addUser();
});
afterEach(async (context) => {
  if (context.task.result?.state === "fail") console.log(fleet.node.log());
  await fleet.close();
});

const connectFrom = (address: string) => fleet.connect(link.id, address);
const isLetIn = (address: string) =>
  connectFrom(address).then(
    (socket) => {
      socket.destroy();
      return true;
    },
    () => false,
  );

test("who comes from one address too many is refused, who was there stays, and takes the place when it is free", async () => {
  const { core, node } = fleet;
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
