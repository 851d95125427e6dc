import type { Socket } from "node:net";
import { NodeService as Fleet } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { until } from "../engines/engine-under-test.ts";
import { startByteTarget } from "../support/byte-target.ts";
import { freePorts } from "../support/ports.ts";
import { stayConnected } from "../support/vless-client.ts";
import { type CoreAtHand, startCore } from "./core-at-hand.ts";
import { type NodeAtHand, startNode } from "./node-at-hand.ts";

/** A real Core, and a node of it with one inbound of VLESS. */
export interface VlessFleet {
  readonly core: CoreAtHand;
  readonly node: NodeAtHand;
  /**
   * Connects as a user from one of this machine's addresses, by default from 127.0.0.2: Xray counts nobody from
   * 127.0.0.1. The connection stays until the fleet is closed. Rejects where it is not let in.
   */
  connect(id: string, localAddress?: string): Promise<Socket>;
  close(): Promise<void>;
}

/** Starts one. `settings` are variables of the node. */
export async function startVlessFleet(settings: Readonly<Record<string, string>> = {}): Promise<VlessFleet> {
  const core = await startCore();
  const target = await startByteTarget();
  const [inboundPort = 0] = await freePorts(1);
  const node = await startNode({ CORE_ENROLMENT_CODE: await core.code(), ...settings });
  const nodes = async () => (await core.operate(Fleet).listNodes({})).nodes;
  await until("the node is enrolled", async () => (await nodes()).length > 0, 10_000);
  const [{ id: nodeId = 0n } = {}] = await nodes();
  await core.addVless(Number(nodeId), inboundPort);
  const open = new Set<Socket>();
  return {
    core,
    node,
    async connect(id, localAddress = "127.0.0.2") {
      const socket = await stayConnected({ inboundPort, targetPort: target.port, localAddress }, id);
      open.add(socket);
      return socket;
    },
    async close() {
      for (const socket of open) socket.destroy();
      await node.close();
      await target.close();
      await core.close();
    },
  };
}
