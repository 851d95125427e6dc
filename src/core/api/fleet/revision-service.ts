import { RevisionService } from "../../../../gen/garrison/core/v1/revisions_pb.ts";
import type { ServedService } from "../../../platform/rpc/served-service.ts";
import type { RevisionStore } from "../../store/fleet/revisions.ts";
import { operatorOf, serveFleet } from "./serve-fleet.ts";

/** `garrison.core.v1.RevisionService`. */
export function createRevisionService(revisions: RevisionStore): ServedService {
  return serveFleet(RevisionService, {
    listRevisions: (request) => revisions.list(request),
    getRevision: (request) => revisions.get(request),
    compareRevisions: (request) => revisions.compare(request),
    rollBackNode: async (request, context) => ({
      revision: await revisions.rollBack(operatorOf(context).actor, request),
    }),
  });
}
