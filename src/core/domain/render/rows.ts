/** What a node's config is made of, besides users. */
export interface NodeRows {
  readonly nodeId: number;
  readonly disabled: boolean;
  /** It lets in no subscriptions that were created since, in milliseconds since 1970; null: it does. */
  readonly drainingSince: number | null;
  /** The version of the contract that its agent speaks. */
  readonly protocolVersion: number;
  readonly protocols: readonly ProtocolRow[];
  readonly outbounds: readonly OutboundRow[];
  /** JSON objects of Xray's. */
  readonly routing: string;
  readonly extra: string;
}

/** A protocol that a node serves. */
export interface ProtocolRow {
  readonly id: number;
  /** The spelling of `VpnProtocol`. */
  readonly protocol: string;
  readonly tag: string;
  readonly listen: string;
  readonly port: number;
  readonly enabled: boolean;
  /** A JSON object: the inbound without listen, port, tag, protocol and users; of MTProto `modes`, `tlsDomains`, `settings`. */
  readonly settings: string;
  /** Of WireGuard: the numbers of addresses, by subscription. Who has none is not served. Undefined for other protocols. */
  readonly numbers?: ReadonlyMap<number, number>;
}

/** A way out of a node. */
interface OutboundRow {
  readonly id: number;
  readonly tag: string;
  readonly position: number;
  readonly enabled: boolean;
  /** A JSON object: the outbound without its tag. */
  readonly config: string;
}

/** A link that may be used: user, subscription and link are enabled, and the subscription is not refused. */
export interface LinkRow {
  readonly uuid: string;
  /** The spelling of `VpnProtocol`. */
  readonly protocol: string;
  readonly secret: string;
  /** Of WireGuard; else empty. */
  readonly publicKey: string;
  readonly subscriptionId: number;
  readonly userId: number;
  /** The node protocols that the subscription has. Undefined: all. */
  readonly access: ReadonlySet<number> | undefined;
  readonly expiresAt: number | null;
  readonly quotaBytes: number | null;
  readonly deviceLimit: number | null;
  readonly failOpen: boolean;
  /** When the subscription was created, in milliseconds since 1970. */
  readonly createdAt: number;
}
