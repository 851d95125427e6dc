import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { NodeProtocolService } from "../../gen/garrison/core/v1/node_protocols_pb.ts";
import { NodeService as Fleet, SyncStatus } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionService } from "../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserService } from "../../gen/garrison/core/v1/users_pb.ts";
import { VpnProtocol } from "../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { until } from "../engines/engine-under-test.ts";
import { telemtProgram } from "../engines/telemt-under-test.ts";
import { freePorts } from "../support/ports.ts";
import { connectTelegram, type DataCentre, isLetIn, startDataCentre } from "../support/telegram.ts";
import { type CoreAtHand, startCore } from "./core-at-hand.ts";
import { type NodeAtHand, startNode } from "./node-at-hand.ts";

let core: CoreAtHand;
let node: NodeAtHand;
let dataCentre: DataCentre;
let directory: string;
beforeEach(async () => {
  core = await startCore();
  dataCentre = await startDataCentre();
  directory = await mkdtemp(join(tmpdir(), "garrison-telemt-"));
  const TELEMT_PATH = await telemtProgram("the stand-in", directory);
  node = await startNode({ CORE_ENROLMENT_CODE: await core.code(), TELEMT_PATH });
});
afterEach(async (context) => {
  if (context.task.result?.state === "fail") console.log(node.log());
  await node.close();
  await dataCentre.close();
  await core.close();
  await rm(directory, { recursive: true });
});

test("MTProto users of Core are let in by telemt, and what they carry is booked at Core", async () => {
  const fleet = core.operate(Fleet);
  await until("the node is enrolled", async () => (await fleet.listNodes({})).nodes.length > 0, 10_000);
  const [{ id: nodeId } = { id: 0n }] = (await fleet.listNodes({})).nodes;
  const [port = 0] = await freePorts(1);
  await core.operate(NodeProtocolService).createNodeProtocol({
    ...{ nodeId, protocol: VpnProtocol.MTPROTO, listen: "127.0.0.1", port },
    settings: JSON.stringify({ modes: ["secure"], settings: { dc_overrides: { "2": dataCentre.address } } }),
  });
  const { user } = await core.operate(UserService).createUser({ name: "alice" });
  await core.operate(SubscriptionService).createSubscription({ userId: user?.id ?? 0n });
  const { secret } = await core.database.db
    .selectFrom("link")
    .select("secret")
    .where("protocol", "=", "mtproto")
    .executeTakeFirstOrThrow();
  await until("the user is let in", () => isLetIn(port, secret).catch(() => false), 20_000);
  const client = await connectTelegram(port, secret);
  await client.exchange(20_000, 30_000);
  const carried = Number(client.uplinkBytes + client.downlinkBytes);
  await client.close();
  const booked = async () => {
    const rows = await core.database.db.selectFrom("usage_minute").select(["bytes_up", "bytes_down"]).execute();
    return rows.reduce((sum, { bytes_up, bytes_down }) => sum + Number(bytes_up) + Number(bytes_down), 0);
  };
  await until("all is booked", async () => (await booked()) >= carried, 10_000);
  await until("it runs", async () => (await fleet.listNodes({})).nodes[0]?.syncStatus === SyncStatus.SYNCED, 10_000);
  expect(await node.metrics()).toContain("garrison_agent_revision");
}, 60_000);
