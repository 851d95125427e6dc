import { OperatorService } from "../../../../gen/garrison/core/v1/operators_pb.ts";
import type { ServedService } from "../../../platform/rpc/served-service.ts";
import type { ApiKeyStore } from "../../store/fleet/api-keys.ts";
import { scopesOf } from "../../store/fleet/scopes.ts";
import { operatorOf, serveFleet } from "./serve-fleet.ts";

/** `garrison.core.v1.OperatorService`. */
export function createOperatorService(keys: ApiKeyStore): ServedService {
  return serveFleet(OperatorService, {
    getCaller(_request, context) {
      const { actor, scopes } = operatorOf(context);
      return { actor, scopes: scopesOf(scopes) };
    },
    createApiKey: (request, context) => keys.create(operatorOf(context), request),
    getApiKey: async ({ id }) => ({ apiKey: await keys.get(id) }),
    listApiKeys: (request) => keys.list(request),
    revokeApiKey: async ({ id }, context) => ({ apiKey: await keys.revoke(operatorOf(context), id) }),
  });
}
