import { NodeProtocolService } from "../../../../gen/garrison/core/v1/node_protocols_pb.ts";
import type { ServedService } from "../../../platform/rpc/served-service.ts";
import type { ProtocolStore } from "../../store/fleet/protocols.ts";
import { operatorOf, serveFleet } from "./serve-fleet.ts";

/** `garrison.core.v1.NodeProtocolService`. */
export function createNodeProtocolService(protocols: ProtocolStore): ServedService {
  return serveFleet(NodeProtocolService, {
    createNodeProtocol: async (request, context) => ({
      nodeProtocol: await protocols.create(operatorOf(context).actor, request),
    }),
    getNodeProtocol: async ({ id }) => ({ nodeProtocol: await protocols.get(id) }),
    listNodeProtocols: (request) => protocols.list(request),
    updateNodeProtocol: async (request, context) => ({
      nodeProtocol: await protocols.update(operatorOf(context).actor, request),
    }),
    async deleteNodeProtocol(request, context) {
      await protocols.remove(operatorOf(context).actor, request);
      return {};
    },
  });
}
