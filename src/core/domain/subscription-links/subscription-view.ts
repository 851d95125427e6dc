/** What a subscription link shows: what is read for one token. */
export interface SubscriptionView {
  /** What the user sees it by: the subscription's name, else the user's. */
  readonly title: string;
  /** Whether nodes let it in. */
  readonly state: "active" | "disabled" | "expired" | "over_quota";
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Since it was created. */
  readonly bytesUp: bigint;
  readonly bytesDown: bigint;
  /** In both directions, since the period began. */
  readonly periodBytes: bigint;
  /** In both directions per period; null: no bound. */
  readonly quotaBytes: bigint | null;
  /** Milliseconds since 1970; null: never. */
  readonly expiresAt: number | null;
  readonly links: readonly ViewedLink[];
  /** The node protocols that it has access to, in any order, those among them that are disabled too. */
  readonly protocols: readonly ViewedProtocol[];
  /** The numbers of its addresses, by node protocol of WireGuard. */
  readonly tunnelNumbers: ReadonlyMap<number, number>;
}

/** The credential for one kind of protocol. */
export interface ViewedLink {
  /** The spelling of `VpnProtocol`. */
  readonly protocol: string;
  readonly uuid: string;
  readonly secret: string;
  readonly enabled: boolean;
}

/** A protocol that a node serves. */
export interface ViewedProtocol {
  readonly id: number;
  /** The spelling of `VpnProtocol`. */
  readonly protocol: string;
  readonly tag: string;
  /** What end users see it by; empty: the node's name and the tag. */
  readonly remark: string;
  readonly port: number;
  readonly enabled: boolean;
  /** As they stand in `node_protocol`: JSON objects. */
  readonly settings: string;
  readonly linkSettings: string;
  readonly node: ViewedNode;
}

/** The node of a protocol. */
interface ViewedNode {
  readonly id: number;
  readonly name: string;
  /** What end users reach it by: its domain, else its host, else its IP address. */
  readonly host: string;
  readonly disabled: boolean;
  /** It lets in no subscriptions that were created since, in milliseconds since 1970; null: it does. */
  readonly drainingSince: number | null;
}
