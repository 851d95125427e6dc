import { randomUUID } from "node:crypto";
import { NodeOutboundService } from "../../../gen/garrison/core/v1/node_outbounds_pb.ts";
import { NodeService } from "../../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionService } from "../../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserService } from "../../../gen/garrison/core/v1/users_pb.ts";
import { VpnProtocol } from "../../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import type { Random } from "../../support/random.ts";
import type { Fleet } from "./fleet.ts";

/** A credential of a user. */
export interface Credential {
  readonly subscriptionId: number;
  readonly uuid: string;
}

/** The users of a fleet, as an operator changes them. */
export interface Users {
  /** Those who have a link now. */
  readonly live: readonly Credential[];
  /** Of every link that there ever was. */
  readonly subscriptionOf: ReadonlyMap<string, number>;
  readonly deleted: ReadonlySet<number>;
  /** Does one of the things that operators do; throws when Core is not there. */
  change(what: UserChange): Promise<void>;
  /** Reads anew who has a link. */
  refresh(): Promise<void>;
}

/** What operators do. */
export const userChanges = [
  "add",
  "add",
  "disable or enable",
  "delete",
  "quota",
  "new links",
  "new key for the node",
  "config that needs a restart",
] as const;
type UserChange = (typeof userChanges)[number];

/** More would only make each of them rarer. */
const mostUsers = 60;

/** Makes them; there are none yet. */
export function createUsers({ operate, database, nodeId }: Fleet, random: Random): Users {
  const subscriptions = operate(SubscriptionService);
  const subscriptionOf = new Map<string, number>();
  const deleted = new Set<number>();
  let live: readonly Credential[] = [];
  let count = 0;

  async function refresh(): Promise<void> {
    const rows = await database.db.selectFrom("link").select(["uuid", "subscription_id"]).execute();
    live = rows.map(({ uuid, subscription_id: subscriptionId }) => ({ uuid, subscriptionId }));
    for (const { uuid, subscriptionId } of live) subscriptionOf.set(uuid, subscriptionId);
  }

  const changes: Record<UserChange, (id: bigint | undefined) => Promise<unknown>> = {
    async add() {
      if (live.length >= mostUsers) return;
      const { user } = await operate(UserService).createUser({ name: `user ${++count} ${randomUUID()}` });
      const created = { userId: user?.id ?? 0n, protocols: [VpnProtocol.VLESS], requestId: randomUUID() };
      await subscriptions.createSubscription(created);
    },
    "disable or enable": async (id) => {
      const { subscription } = await subscriptions.getSubscription({ id: id ?? 0n });
      await subscriptions.updateSubscription({ id: id ?? 0n, enabled: subscription?.enabled !== true });
    },
    async delete(id) {
      if (live.length < 6) return;
      deleted.add(Number(id));
      await subscriptions.deleteSubscription({ id: id ?? 0n });
    },
    quota: (id) => {
      const quotaBytes = random.below(3) === 0 ? BigInt(1 + random.below(2_000_000)) : 0n;
      return subscriptions.updateSubscription({ id: id ?? 0n, quotaBytes });
    },
    "new links": (id) => subscriptions.rotateSubscriptionLinks({ id: id ?? 0n }),
    "new key for the node": () => operate(NodeService).rotateNodeKey({ id: BigInt(nodeId) }),
    "config that needs a restart": () => {
      const dns = { servers: ["127.0.0.1"], tag: `dns-${random.below(1_000_000)}` };
      return operate(NodeOutboundService).updateNodeRouting({ nodeId: BigInt(nodeId), extra: JSON.stringify({ dns }) });
    },
  };
  return {
    get live() {
      return live;
    },
    subscriptionOf,
    deleted,
    refresh,
    async change(what) {
      const one = random.of(live);
      if (one === undefined && what !== "add") return;
      try {
        await changes[what](one && BigInt(one.subscriptionId));
      } finally {
        // It may have been done although nobody was told.
        await refresh();
      }
    },
  };
}
