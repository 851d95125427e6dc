import type { Generated } from "kysely";

// What Core keeps. Times are milliseconds since 1970; JSON is kept as its text; flags are 0 or 1. A user is an `account`
// here, since `user` is a word of SQL.

/** The columns that can pass 2^53, and are bigint. */
export const int64Columns = [
  "bytes_up",
  "bytes_down",
  "period_bytes",
  "quota_bytes",
  "traffic_bytes_up",
  "traffic_bytes_down",
  "user_bytes",
  "last_seq",
  "from_seq",
  "to_seq",
] as const;

/** All tables. */
export interface CoreSchema {
  readonly node: NodeTable;
  readonly node_key: NodeKeyTable;
  readonly enrolment_code: EnrolmentCodeTable;
  readonly node_protocol: NodeProtocolTable;
  readonly former_node_protocol: FormerNodeProtocolTable;
  readonly node_outbound: NodeOutboundTable;
  readonly node_routing: NodeRoutingTable;
  readonly account: AccountTable;
  readonly subscription: SubscriptionTable;
  readonly subscription_protocol: SubscriptionProtocolTable;
  readonly link: LinkTable;
  readonly tunnel_pool: TunnelPoolTable;
  readonly tunnel_address: TunnelAddressTable;
  readonly config_blob: ConfigBlobTable;
  readonly revision: RevisionTable;
  readonly node_publication: NodePublicationTable;
  readonly operator_key: OperatorKeyTable;
  readonly authority: AuthorityTable;
  readonly audit: AuditTable;
  readonly usage_minute: UsageMinuteTable;
  readonly inbound_day: InboundDayTable;
  readonly node_stream: NodeStreamTable;
  readonly node_stream_gap: NodeStreamGapTable;
  readonly quarantined_entry: QuarantinedEntryTable;
  readonly session_event: SessionEventTable;
  readonly online_session: OnlineSessionTable;
}

/** A server that runs an agent, or is going to. */
interface NodeTable {
  id: Generated<number>;
  name: string;
  /** What end users reach it by: `domain`, else this, else `ip`. */
  host: string;
  ip: string;
  /** An operator has set the address: heartbeats do not change it. */
  ip_pinned: Generated<number>;
  domain: Generated<string>;
  /** The TCP port of the agent's own API; 0: not told. */
  port: Generated<number>;
  region: Generated<string>;
  disabled: Generated<number>;
  /** It shall take no new users. */
  draining: Generated<number>;
  /** Since when; null: it is not draining. */
  draining_since: number | null;
  created_at: number;
  /** Null: no agent has registered yet. */
  enrolled_at: number | null;
  install_id: Generated<string>;
  agent_version: Generated<string>;
  protocol_version: Generated<number>;
  /** JSON array of names. */
  capabilities: Generated<string>;
  last_seen_at: number | null;
  /** What the last heartbeat told besides, as JSON. */
  observed: Generated<string>;
  /** `pending`, `syncing`, `synced`, `failed`, `rolled_back` or `drifted`. */
  sync_status: Generated<string>;
  /** The newest revision; 0: there is none. */
  desired_revision: Generated<number>;
  /** The highest revision that it has reported as applied; 0: none. */
  reported_revision: Generated<number>;
  error_code: Generated<string>;
  error_message: Generated<string>;
  error_at: number | null;
  /** JSON object; empty: nothing was told besides. */
  error_details: Generated<string>;
  /** How often it happened before it was told; 0: not told. */
  error_occurrences: Generated<number>;
  /** Its status is `error`: something was reported, and no revision was applied since. */
  in_error: Generated<number>;
  /** It is asked to replace its key. */
  rotate_key: Generated<number>;
  /** Bits per second that its network can carry, by which implausible usage is told; null: not known. */
  rate_limit_bps: number | null;
}

/** A key of a node. It has two while one replaces the other. */
interface NodeKeyTable {
  id: Generated<number>;
  node_id: number;
  /** SHA-256 of the key. */
  hash: Uint8Array;
  created_at: number;
  /** Null: nobody has called with it yet. */
  first_used_at: number | null;
  /** Null: it does not expire. */
  expires_at: number | null;
  revoked_at: number | null;
}

/** A code by which an agent registers, once. */
interface EnrolmentCodeTable {
  id: Generated<number>;
  /** SHA-256 of the code. */
  hash: Uint8Array;
  /** The node that it is for; null: it makes a new one. */
  node_id: number | null;
  region: Generated<string>;
  created_at: number;
  expires_at: number;
  used_at: number | null;
  used_by_node_id: number | null;
  used_by_install_id: Generated<string>;
  revoked_at: number | null;
}

/** A protocol that a node serves: an inbound of one of its engines. */
interface NodeProtocolTable {
  id: Generated<number>;
  node_id: number;
  /** The spelling of `VpnProtocol` on the documented routes, such as `vless`. */
  protocol: string;
  /** The tag of the inbound. */
  tag: string;
  /** What end users see it by. */
  remark: Generated<string>;
  /** The address to listen on; empty: all. */
  listen: Generated<string>;
  port: number;
  enabled: Generated<number>;
  /** JSON: the inbound without listen, port, tag, protocol and users; for MTProto its modes, domains and settings. */
  settings: string;
  /** JSON: what links say differently: host, port, sni, and the like. */
  link_settings: Generated<string>;
  created_at: number;
}

/** A way out of a node. */
interface NodeOutboundTable {
  id: Generated<number>;
  node_id: number;
  tag: string;
  /** The lowest is the default. */
  position: number;
  enabled: Generated<number>;
  /** JSON: the outbound without its tag. */
  config: string;
  traffic_bytes_up: Generated<bigint>;
  traffic_bytes_down: Generated<bigint>;
}

/** How a node routes. A node without a row sends all to its first outbound. */
interface NodeRoutingTable {
  node_id: number;
  /** JSON: Xray's `routing`. */
  routing: Generated<string>;
  /** JSON: further sections of Xray's config. */
  extra: Generated<string>;
}

/** A user. */
interface AccountTable {
  id: Generated<number>;
  name: string;
  note: Generated<string>;
  enabled: Generated<number>;
  created_at: number;
}

/** What a user may use, and has used. */
interface SubscriptionTable {
  id: Generated<number>;
  account_id: number;
  name: Generated<string>;
  enabled: Generated<number>;
  created_at: number;
  /** SHA-256 of the token in its link. */
  token_hash: Uint8Array;
  token_rotated_at: number;
  /** Null: never. */
  expires_at: number | null;
  /** Bytes in both directions per period; null: no bound. */
  quota_bytes: bigint | null;
  /** `never`, `day`, `week`, `month` or `year`. */
  reset_period: Generated<string>;
  period_started_at: number;
  /** Null: never. */
  next_reset_at: number | null;
  /** Addresses at a time; null: any number. */
  device_limit: number | null;
  /** Leases of its quota are not enforced while Core is away. */
  fail_open: Generated<number>;
  /** It has every protocol of every node, and not only those of `subscription_protocol`. */
  all_protocols: Generated<number>;
  /** Since it was created. */
  bytes_up: Generated<bigint>;
  bytes_down: Generated<bigint>;
  /** Both directions, since the period began. */
  period_bytes: Generated<bigint>;
  /** Why no node lets it in: `quota`, `expired`, or empty. By it nodes' configs are rendered. */
  refused: Generated<string>;
  /** The caller's own id for the creation, by which it is not done twice. Null: none was given. */
  request_id: string | null;
  /** SHA-256, in hex, of what was asked for with it; else empty. */
  request_digest: Generated<string>;
}

/** That a subscription has a protocol of a node. */
interface SubscriptionProtocolTable {
  subscription_id: number;
  node_protocol_id: number;
}

/** The credential of a subscription for one kind of protocol. */
interface LinkTable {
  /** In lower case: the key of `clientMap`. */
  uuid: string;
  subscription_id: number;
  /** The spelling of `VpnProtocol`. */
  protocol: string;
  /** The password, key or secret of protocols that have one; for VLESS and VMess the UUID itself. */
  secret: string;
  enabled: Generated<number>;
  /** Of WireGuard, whose secret is the private key: the public one. Else empty. */
  public_key: Generated<string>;
}

/** A node protocol that was deleted a while ago: what was carried over it is still told. */
interface FormerNodeProtocolTable {
  id: number;
  node_id: number;
  deleted_at: number;
}

/** The addresses that a node protocol of WireGuard has for its users, by number. A node has one such protocol. */
interface TunnelPoolTable {
  node_protocol_id: number;
  node_id: number;
  /** The highest number that there is. */
  last_number: number;
  /** The number that was given last: the next one is looked for from here on, and from the beginning after the last. */
  given_number: number;
}

/** The address that a subscription has of a node protocol, as long as it lives. */
interface TunnelAddressTable {
  subscription_id: number;
  node_protocol_id: number;
  /** As `AddressPool` counts them. */
  number: number;
}

/** A rendered config: the JSON that its digest is of. */
interface ConfigBlobTable {
  digest: string;
  config: string;
}

/** A config that was published for a node. */
interface RevisionTable {
  node_id: number;
  revision: number;
  digest: string;
  created_at: number;
  /** What it was published for. */
  reason: Generated<string>;
  /** `applied`, `failed`, or empty: nothing was reported yet. */
  outcome: Generated<string>;
  outcome_at: number | null;
}

/** What is to be published for a node, and what was. A node without a row has never been looked at. */
interface NodePublicationTable {
  node_id: number;
  /** Goes up with each change. */
  version: number;
  /** The version that was rendered last. */
  published_version: Generated<number>;
  /** When the first change came that was not rendered yet; null: there is none. */
  first_at: number | null;
  /** When to render it. */
  due_at: number;
  /** What has changed, in words. */
  reason: string;
  /** The process that is at it; empty: none. */
  claimed_by: Generated<string>;
  /** Until when it counts. */
  claimed_until: Generated<number>;
  /** What was rendered last: the newest revision may have another digest, after a rollback. */
  rendered_digest: Generated<string>;
  /** The version of the contract for which. */
  protocol_version: Generated<number>;
  checked_at: Generated<number>;
}

/** A key of an operator, or of a program that acts for one. */
interface OperatorKeyTable {
  id: Generated<number>;
  name: string;
  /** SHA-256 of the key. */
  hash: Uint8Array;
  /** JSON array of scopes. */
  scopes: string;
  created_at: number;
  expires_at: number | null;
  last_used_at: number | null;
  revoked_at: number | null;
}

/** Core's own certificate authority: one row, with the id 1. */
interface AuthorityTable {
  id: number;
  /** PEM. */
  certificate: string;
  /** PEM, PKCS #8. */
  private_key: string;
  created_at: number;
}

/** Who changed what. */
interface AuditTable {
  id: Generated<number>;
  at: number;
  /** `operator-key:<id>`, `node:<id>` or `core`. */
  actor: string;
  /** Such as `node.create`. */
  action: string;
  /** Such as `node:7`. */
  target: string;
  /** JSON, without secrets. */
  details: Generated<string>;
}

/** Traffic of one link in one minute at one node; of old ones in one hour, or one day. */
interface UsageMinuteTable {
  /** The start of the minute. */
  minute: number;
  node_id: number;
  node_protocol_id: number;
  /** 0: unattributed. */
  account_id: number;
  /** 0: none. */
  subscription_id: number;
  /** Of unattributed traffic; else empty. */
  link_uuid: Generated<string>;
  bytes_up: bigint;
  bytes_down: bigint;
  /** It was booked under the minute in which it arrived. */
  late: Generated<number>;
  /** 0: a minute. 1: it stands for the hour that begins there, 2: for the day. */
  coarse: Generated<number>;
}

/** Traffic of a whole inbound that was booked on one day, in UTC, to compare with that of its users. */
interface InboundDayTable {
  node_id: number;
  /** The start of the day. */
  day: number;
  node_protocol_id: number;
  bytes_up: bigint;
  bytes_down: bigint;
  /** What was booked of its users on that day, in both directions. */
  user_bytes: bigint;
}

/** How far the numbered batches of a node have come. */
interface NodeStreamTable {
  node_id: number;
  /** `usage`, `outbound_usage` or `sessions`. */
  kind: string;
  epoch: string;
  last_seq: bigint;
  /** Of what must not change of the last batches: 16 bytes of SHA-256 each, the newest first. */
  digests: Uint8Array;
  updated_at: number;
}

/** Batches that will never come. */
interface NodeStreamGapTable {
  id: Generated<number>;
  node_id: number;
  kind: string;
  epoch: string;
  from_seq: bigint;
  to_seq: bigint;
  noted_at: number;
}

/** An entry that was not booked, because it cannot be right. */
interface QuarantinedEntryTable {
  id: Generated<number>;
  node_id: number;
  kind: string;
  reason: string;
  /** JSON. */
  entry: string;
  received_at: number;
}

/** A user came or went. */
interface SessionEventTable {
  id: Generated<number>;
  node_id: number;
  account_id: number;
  subscription_id: number | null;
  node_protocol_id: number | null;
  protocol: string;
  /** `online` or `offline`. */
  event_type: string;
  occurred_at: number;
  ip_address: Generated<string>;
  session_id: Generated<string>;
}

/** A user who came, and has not gone. */
interface OnlineSessionTable {
  id: Generated<number>;
  node_id: number;
  account_id: number;
  subscription_id: number | null;
  node_protocol_id: number | null;
  protocol: string;
  since: number;
  ip_address: string;
  /** Empty: the session is known by user and protocol. */
  session_id: string;
}
