import { UserService } from "../../../../gen/garrison/core/v1/users_pb.ts";
import type { ServedService } from "../../../platform/rpc/served-service.ts";
import type { UserStore } from "../../store/fleet/users.ts";
import { operatorOf, serveFleet } from "./serve-fleet.ts";

/** `garrison.core.v1.UserService`. */
export function createUserService(users: UserStore): ServedService {
  return serveFleet(UserService, {
    createUser: async (request, context) => ({ user: await users.create(operatorOf(context).actor, request) }),
    getUser: async ({ id }) => ({ user: await users.get(id) }),
    listUsers: (request) => users.list(request),
    updateUser: async (request, context) => ({ user: await users.update(operatorOf(context).actor, request) }),
    async deleteUser(request, context) {
      await users.remove(operatorOf(context).actor, request);
      return {};
    },
  });
}
