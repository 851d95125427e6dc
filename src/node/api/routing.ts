import type { ServiceImpl } from "@connectrpc/connect";
import type { NodeService } from "../../../gen/service/node_pb.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { connectionOf, required } from "./routing-request.ts";

type RoutingMethod =
  | "listRoutingRules"
  | "getBalancerInfo"
  | "testRoute"
  | "addRoutingRule"
  | "removeRoutingRule"
  | "overrideBalancerTarget";

/** The methods of the service that are about routing. */
export function routingMethods({
  routing,
}: Pick<Runtime, "routing">): Pick<ServiceImpl<typeof NodeService>, RoutingMethod> {
  return {
    listRoutingRules: async () => ({ rules: await routing((engine) => engine.rules()) }),
    getBalancerInfo: ({ tag }) => routing((engine) => engine.balancer(required("tag", tag))),
    testRoute: (request) => routing((engine) => engine.route(connectionOf(request))),
    async addRoutingRule({ rule, shouldReset }) {
      await routing((engine) => engine.addRule(required("rule", rule), shouldReset));
      return {};
    },
    async removeRoutingRule({ ruleTag }) {
      await routing((engine) => engine.removeRule(required("rule_tag", ruleTag)));
      return {};
    },
    async overrideBalancerTarget({ balancerTag, target }) {
      await routing((engine) => engine.overrideBalancer(required("balancer_tag", balancerTag), target));
      return {};
    },
  };
}
