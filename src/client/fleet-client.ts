import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { AuditService } from "../../gen/garrison/core/v1/audit_pb.ts";
import { NodeOutboundService } from "../../gen/garrison/core/v1/node_outbounds_pb.ts";
import { NodeProtocolService } from "../../gen/garrison/core/v1/node_protocols_pb.ts";
import { NodeService } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { OperatorService } from "../../gen/garrison/core/v1/operators_pb.ts";
import { RevisionService } from "../../gen/garrison/core/v1/revisions_pb.ts";
import { SubscriptionLinkService } from "../../gen/garrison/core/v1/subscription_links_pb.ts";
import { SubscriptionService } from "../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UsageService } from "../../gen/garrison/core/v1/usage_pb.ts";
import { UserService } from "../../gen/garrison/core/v1/users_pb.ts";
import { withKey } from "./with-key.ts";

export * from "../../gen/garrison/core/v1/audit_pb.ts";
export * from "../../gen/garrison/core/v1/node_outbounds_pb.ts";
export * from "../../gen/garrison/core/v1/node_protocols_pb.ts";
export * from "../../gen/garrison/core/v1/node_status_pb.ts";
export * from "../../gen/garrison/core/v1/nodes_pb.ts";
export * from "../../gen/garrison/core/v1/operators_pb.ts";
export * from "../../gen/garrison/core/v1/revisions_pb.ts";
export * from "../../gen/garrison/core/v1/subscription_links_pb.ts";
export * from "../../gen/garrison/core/v1/subscriptions_pb.ts";
export * from "../../gen/garrison/core/v1/usage_pb.ts";
export * from "../../gen/garrison/core/v1/users_pb.ts";
export * from "../../gen/garrison/core/v1/vpn_protocol_pb.ts";

/** Options of {@link createFleetClient}. */
export interface FleetClientOptions {
  /**
   * Reaches Core: `createConnectTransport`, `createGrpcWebTransport` or `createGrpcTransport` of
   * `@connectrpc/connect-node`, or in a browser one of the first two of `@connectrpc/connect-web`.
   */
  transport: Transport;
  /** An operator's API key. */
  key: string;
}

/** Calls Core about the fleet. Every call carries the key; it fails with a `ConnectError`. */
export interface FleetClient {
  readonly nodes: Client<typeof NodeService>;
  readonly nodeProtocols: Client<typeof NodeProtocolService>;
  readonly nodeOutbounds: Client<typeof NodeOutboundService>;
  readonly users: Client<typeof UserService>;
  readonly subscriptions: Client<typeof SubscriptionService>;
  readonly subscriptionLinks: Client<typeof SubscriptionLinkService>;
  readonly usage: Client<typeof UsageService>;
  readonly revisions: Client<typeof RevisionService>;
  readonly operators: Client<typeof OperatorService>;
  readonly audit: Client<typeof AuditService>;
}

/** Makes a client of Core's fleet API, for Node.js and browsers alike. */
export function createFleetClient({ transport, key }: FleetClientOptions): FleetClient {
  const keyed = withKey(transport, key);
  return {
    nodes: createClient(NodeService, keyed),
    nodeProtocols: createClient(NodeProtocolService, keyed),
    nodeOutbounds: createClient(NodeOutboundService, keyed),
    users: createClient(UserService, keyed),
    subscriptions: createClient(SubscriptionService, keyed),
    subscriptionLinks: createClient(SubscriptionLinkService, keyed),
    usage: createClient(UsageService, keyed),
    revisions: createClient(RevisionService, keyed),
    operators: createClient(OperatorService, keyed),
    audit: createClient(AuditService, keyed),
  };
}
