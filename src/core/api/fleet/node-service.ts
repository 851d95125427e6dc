import { NodeService } from "../../../../gen/garrison/core/v1/nodes_pb.ts";
import type { ServedService } from "../../../platform/rpc/served-service.ts";
import type { EnrolmentCodeStore } from "../../store/fleet/enrolment-codes.ts";
import type { NodeStore } from "../../store/fleet/nodes.ts";
import type { RevisionStore } from "../../store/fleet/revisions.ts";
import { operatorOf, serveFleet } from "./serve-fleet.ts";

/** Options of {@link createNodeService}. */
export interface NodeServiceOptions {
  nodes: NodeStore;
  codes: EnrolmentCodeStore;
  revisions: RevisionStore;
}

/** `garrison.core.v1.NodeService`. */
export function createNodeService({ nodes, codes, revisions }: NodeServiceOptions): ServedService {
  return serveFleet(NodeService, {
    createNode: (request, context) => nodes.create(operatorOf(context).actor, request),
    getNode: async ({ id }) => ({ node: await nodes.get(id) }),
    listNodes: (request) => nodes.list(request),
    updateNode: async (request, context) => ({ node: await nodes.update(operatorOf(context).actor, request) }),
    async deleteNode(request, context) {
      await nodes.remove(operatorOf(context).actor, request);
      return {};
    },
    async syncNode({ id }, context) {
      await revisions.republish(operatorOf(context).actor, id);
      return { node: await nodes.get(id) };
    },
    rotateNodeKey: async ({ id }, context) => ({ node: await nodes.rotateKey(operatorOf(context).actor, id) }),
    revokeNodeKeys: async ({ id }, context) => ({ node: await nodes.revokeKeys(operatorOf(context).actor, id) }),
    createEnrolmentCode: (request, context) => codes.create(operatorOf(context).actor, request),
    listEnrolmentCodes: (request) => codes.list(request),
    revokeEnrolmentCode: async ({ id }, context) => ({
      enrolmentCode: await codes.revoke(operatorOf(context).actor, id),
    }),
  });
}
