import { expect, test } from "vitest";
import { NodeProtocolService } from "../../../gen/garrison/core/v1/node_protocols_pb.ts";
import { SubscriptionService } from "../../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserService } from "../../../gen/garrison/core/v1/users_pb.ts";
import { VpnProtocol } from "../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { HistoryRetention } from "../../../src/core/domain/history-retention.ts";
import { createHistoryStore } from "../../../src/core/store/history.ts";
import { given } from "../fleet/scene.ts";
import { describeScene, openCoreScene } from "../scene.ts";

describeScene("what was carried over a protocol that was deleted since", openCoreScene, (scene) => {
  const addProtocol = async (nodeId: number) => {
    const request = { nodeId: BigInt(nodeId), protocol: VpnProtocol.VLESS, port: 443 };
    return given((await scene.call(NodeProtocolService.method.createNodeProtocol, request)).nodeProtocol).id;
  };

  test("is booked when the node tells it, for 30 days, and at no other node", async () => {
    const { core, clock, call } = scene;
    const [node, other] = [await core.enrol("one"), await core.enrol("other")];
    const [protocolId, othersId] = [await addProtocol(node.nodeId), await addProtocol(other.nodeId)];
    const { id: userId } = given((await call(UserService.method.createUser, { name: "a" })).user);
    const made = await call(SubscriptionService.method.createSubscription, { userId });
    const { id: subscriptionId } = given(made.subscription);
    await call(NodeProtocolService.method.deleteNodeProtocol, { id: protocolId, force: true });
    const agent = core.agent("connect", node.key);
    const report = (epoch: string) =>
      agent.reportUsage({
        entries: [protocolId, othersId].map((nodeProtocolId) => ({
          ...{ userId, subscriptionId, nodeProtocolId, bytesUp: 3n, bytesDown: 5n },
          recordedAt: new Date(clock.now).toISOString(),
        })),
        batch: { epoch, seq: 1n },
      });
    expect(await report("e")).toMatchObject({ ackedSeq: 1n, quarantined: 1 });
    const { db } = core.database;
    const counted = await db.selectFrom("subscription").select(["bytes_up", "bytes_down"]).execute();
    expect(counted).toEqual([{ bytes_up: 3n, bytes_down: 5n }]);
    clock.now += 30 * 86_400_000 + 1;
    const log = { warn: (details: object) => expect.unreachable(JSON.stringify(details)) };
    const retention = new HistoryRetention({ store: createHistoryStore(core.database), now: () => clock.now, log });
    await retention.sweep();
    await retention.close();
    expect(await report("f")).toMatchObject({ quarantined: 2 });
  });
});
