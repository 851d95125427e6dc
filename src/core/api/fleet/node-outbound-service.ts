import { NodeOutboundService } from "../../../../gen/garrison/core/v1/node_outbounds_pb.ts";
import type { ServedService } from "../../../platform/rpc/served-service.ts";
import type { OutboundStore } from "../../store/fleet/outbounds.ts";
import type { RoutingStore } from "../../store/fleet/routing.ts";
import { operatorOf, serveFleet } from "./serve-fleet.ts";

/** `garrison.core.v1.NodeOutboundService`. */
export function createNodeOutboundService(outbounds: OutboundStore, routing: RoutingStore): ServedService {
  return serveFleet(NodeOutboundService, {
    createNodeOutbound: async (request, context) => ({
      nodeOutbound: await outbounds.create(operatorOf(context).actor, request),
    }),
    getNodeOutbound: async ({ id }) => ({ nodeOutbound: await outbounds.get(id) }),
    listNodeOutbounds: (request) => outbounds.list(request),
    updateNodeOutbound: async (request, context) => ({
      nodeOutbound: await outbounds.update(operatorOf(context).actor, request),
    }),
    async deleteNodeOutbound(request, context) {
      await outbounds.remove(operatorOf(context).actor, request);
      return {};
    },
    getNodeRouting: async ({ nodeId }) => ({ nodeRouting: await routing.get(nodeId) }),
    updateNodeRouting: async (request, context) => ({
      nodeRouting: await routing.update(operatorOf(context).actor, request),
    }),
  });
}
