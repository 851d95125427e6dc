import { SubscriptionService } from "../../../../gen/garrison/core/v1/subscriptions_pb.ts";
import type { ServedService } from "../../../platform/rpc/served-service.ts";
import type { SubscriptionList } from "../../store/fleet/subscription-list.ts";
import type { SubscriptionStore } from "../../store/fleet/subscriptions.ts";
import { operatorOf, serveFleet } from "./serve-fleet.ts";

/** Options of {@link createSubscriptionService}. */
export interface SubscriptionServiceOptions {
  list: SubscriptionList;
  store: SubscriptionStore;
  /** The link of a subscription, of the token in it. */
  url: (token: string) => string;
}

/** `garrison.core.v1.SubscriptionService`. */
export function createSubscriptionService({ list, store, url }: SubscriptionServiceOptions): ServedService {
  return serveFleet(SubscriptionService, {
    async createSubscription(request, context) {
      const made = await store.create(operatorOf(context).actor, request);
      return { ...made, url: url(made.token) };
    },
    getSubscription: async ({ id }) => ({ subscription: await list.get(id) }),
    listSubscriptions: (request) => list.list(request),
    updateSubscription: async (request, context) => ({
      subscription: await store.update(operatorOf(context).actor, request),
    }),
    async deleteSubscription({ id }, context) {
      await store.remove(operatorOf(context).actor, id);
      return {};
    },
    async rotateSubscriptionToken({ id }, context) {
      const made = await store.rotateToken(operatorOf(context).actor, id);
      return { ...made, url: url(made.token) };
    },
    rotateSubscriptionLinks: async ({ id, protocols }, context) => ({
      subscription: await store.rotateLinks(operatorOf(context).actor, id, protocols),
    }),
    updateSubscriptionLink: async (request, context) => ({
      subscription: await store.updateLink(operatorOf(context).actor, request),
    }),
    resetSubscriptionUsage: async ({ id }, context) => ({
      subscription: await store.resetUsage(operatorOf(context).actor, id),
    }),
  });
}
