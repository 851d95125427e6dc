import type { Migration } from "../../platform/storage/migrations.ts";

/** The steps of Core's schema; `schema.ts` says what its columns mean. */
export const migrations: readonly Migration[] = [
  step(
    "0001-fleet",
    `
    create table node (
      id {key},
      name text not null unique,
      host text not null,
      ip text not null,
      ip_pinned {small} not null default 0,
      domain text not null default '',
      port {int} not null default 0,
      region text not null default '',
      disabled {small} not null default 0,
      draining {small} not null default 0,
      draining_since {int},
      created_at {int} not null,
      enrolled_at {int},
      install_id text not null default '',
      agent_version text not null default '',
      protocol_version {int} not null default 0,
      capabilities text not null default '[]',
      last_seen_at {int},
      observed text not null default '{}',
      sync_status text not null default 'pending',
      desired_revision {int} not null default 0,
      reported_revision {int} not null default 0,
      error_code text not null default '',
      error_message text not null default '',
      error_at {int},
      error_details text not null default '',
      error_occurrences {int} not null default 0,
      in_error {small} not null default 0,
      rotate_key {small} not null default 0,
      rate_limit_bps {int}
    );
    create table node_key (
      id {id},
      node_id {int} not null references node (id) on delete cascade,
      hash {blob} not null unique,
      created_at {int} not null,
      first_used_at {int},
      expires_at {int},
      revoked_at {int}
    );
    create index node_key_node on node_key (node_id);
    create table enrolment_code (
      id {id},
      hash {blob} not null unique,
      node_id {int} references node (id) on delete cascade,
      region text not null default '',
      created_at {int} not null,
      expires_at {int} not null,
      used_at {int},
      used_by_node_id {int} references node (id) on delete cascade,
      used_by_install_id text not null default '',
      revoked_at {int}
    );
    create table node_protocol (
      id {key},
      node_id {int} not null references node (id) on delete cascade,
      protocol text not null,
      tag text not null,
      remark text not null default '',
      listen text not null default '',
      port {int} not null,
      enabled {small} not null default 1,
      settings text not null,
      link_settings text not null default '{}',
      created_at {int} not null,
      unique (node_id, tag)
    );
    create table node_outbound (
      id {id},
      node_id {int} not null references node (id) on delete cascade,
      tag text not null,
      position {int} not null,
      enabled {small} not null default 1,
      config text not null,
      traffic_bytes_up {int} not null default 0,
      traffic_bytes_down {int} not null default 0,
      unique (node_id, tag)
    );
    create table node_routing (
      node_id {int} primary key references node (id) on delete cascade,
      routing text not null default '{}',
      extra text not null default '{}'
    );
    create table account (
      id {key},
      name text not null unique,
      note text not null default '',
      enabled {small} not null default 1,
      created_at {int} not null
    );
    create table subscription (
      id {key},
      account_id {int} not null references account (id) on delete cascade,
      name text not null default '',
      enabled {small} not null default 1,
      created_at {int} not null,
      token_hash {blob} not null unique,
      token_rotated_at {int} not null,
      expires_at {int},
      quota_bytes {int},
      reset_period text not null default 'never',
      period_started_at {int} not null,
      next_reset_at {int},
      device_limit {int},
      fail_open {small} not null default 0,
      all_protocols {small} not null default 1,
      bytes_up {int} not null default 0,
      bytes_down {int} not null default 0,
      period_bytes {int} not null default 0,
      refused text not null default '',
      request_id text unique,
      request_digest text not null default ''
    );
    create index subscription_account on subscription (account_id);
    create index subscription_expiry on subscription (expires_at);
    create index subscription_reset on subscription (next_reset_at);
    create table subscription_protocol (
      subscription_id {int} not null references subscription (id) on delete cascade,
      node_protocol_id {int} not null references node_protocol (id) on delete cascade,
      primary key (subscription_id, node_protocol_id)
    );
    create table link (
      uuid text primary key,
      subscription_id {int} not null references subscription (id) on delete cascade,
      protocol text not null,
      secret text not null,
      enabled {small} not null default 1,
      unique (subscription_id, protocol)
    );
    create table config_blob (
      digest text primary key,
      config text not null
    );
    create table revision (
      node_id {int} not null references node (id) on delete cascade,
      revision {int} not null,
      digest text not null references config_blob (digest),
      created_at {int} not null,
      reason text not null default '',
      outcome text not null default '',
      outcome_at {int},
      primary key (node_id, revision)
    );
    create table operator_key (
      id {id},
      name text not null,
      hash {blob} not null unique,
      scopes text not null,
      created_at {int} not null,
      expires_at {int},
      last_used_at {int},
      revoked_at {int}
    );
    create table authority (
      id {int} primary key,
      certificate text not null,
      private_key text not null,
      created_at {int} not null
    );
    create table audit (
      id {id},
      at {int} not null,
      actor text not null,
      action text not null,
      target text not null,
      details text not null default '{}'
    );
    create index audit_at on audit (at);
    `,
  ),
  step(
    "0002-usage",
    `
    create table usage_minute (
      minute {int} not null,
      node_id {int} not null,
      node_protocol_id {int} not null,
      account_id {int} not null,
      subscription_id {int} not null,
      link_uuid text not null default '',
      bytes_up {int} not null,
      bytes_down {int} not null,
      late {small} not null default 0,
      coarse {small} not null default 0,
      primary key (node_id, minute, node_protocol_id, account_id, subscription_id, link_uuid)
    ){clustered};
    create index usage_minute_account on usage_minute (account_id, minute);
    create table inbound_day (
      node_id {int} not null,
      day {int} not null,
      node_protocol_id {int} not null,
      bytes_up {int} not null,
      bytes_down {int} not null,
      user_bytes {int} not null,
      primary key (node_id, day, node_protocol_id)
    ){clustered};
    create index inbound_day_day on inbound_day (day);
    create table node_stream (
      node_id {int} not null references node (id) on delete cascade,
      kind text not null,
      epoch text not null,
      last_seq {int} not null,
      digests {blob} not null,
      updated_at {int} not null,
      primary key (node_id, kind, epoch)
    );
    create table node_stream_gap (
      id {id},
      node_id {int} not null references node (id) on delete cascade,
      kind text not null,
      epoch text not null,
      from_seq {int} not null,
      to_seq {int} not null,
      noted_at {int} not null
    );
    create table quarantined_entry (
      id {id},
      node_id {int} not null references node (id) on delete cascade,
      kind text not null,
      reason text not null,
      entry text not null,
      received_at {int} not null
    );
    create index quarantined_entry_node on quarantined_entry (node_id, id);
    create table session_event (
      id {id},
      node_id {int} not null references node (id) on delete cascade,
      account_id {int} not null,
      subscription_id {int},
      node_protocol_id {int},
      protocol text not null,
      event_type text not null,
      occurred_at {int} not null,
      ip_address text not null default '',
      session_id text not null default ''
    );
    create index session_event_account on session_event (account_id, occurred_at);
    create index session_event_node on session_event (node_id, occurred_at);
    create table online_session (
      id {id},
      node_id {int} not null references node (id) on delete cascade,
      account_id {int} not null,
      subscription_id {int},
      node_protocol_id {int},
      protocol text not null,
      since {int} not null,
      ip_address text not null,
      session_id text not null,
      unique (node_id, account_id, protocol, session_id)
    );
    create index online_session_account on online_session (account_id, id);
    `,
  ),
  step(
    "0003-configs",
    `
    create table node_publication (
      node_id {int} primary key references node (id) on delete cascade,
      version {int} not null,
      published_version {int} not null default 0,
      first_at {int},
      due_at {int} not null,
      reason text not null,
      claimed_by text not null default '',
      claimed_until {int} not null default 0,
      rendered_digest text not null default '',
      protocol_version {int} not null default 0,
      checked_at {int} not null default 0
    );
    create index node_publication_due on node_publication (due_at) where first_at is not null;
    create index node_publication_checked on node_publication (checked_at) where first_at is null;
    create index revision_digest on revision (digest);
    create index subscription_expiring on subscription (expires_at) where refused <> 'expired';
    create index subscription_metered on subscription (id) where refused = '' and quota_bytes is not null;
    `,
  ),
  step(
    "0004-wireguard",
    `
    alter table link add column public_key text not null default '';
    create table tunnel_pool (
      node_protocol_id {int} primary key references node_protocol (id) on delete cascade,
      node_id {int} not null unique references node (id) on delete cascade,
      last_number {int} not null,
      given_number {int} not null
    );
    create table tunnel_address (
      subscription_id {int} not null references subscription (id) on delete cascade,
      node_protocol_id {int} not null references tunnel_pool (node_protocol_id) on delete cascade,
      number {int} not null,
      primary key (subscription_id, node_protocol_id),
      unique (node_protocol_id, number)
    ){clustered};
    `,
  ),
  // Whoever has every other protocol was to have all. The keys are made by `missing-keys.ts`.
  step(
    "0005-wireguard-links",
    `
    insert into link (uuid, subscription_id, protocol, secret)
    select 'wireguard-' || subscription_id, subscription_id, 'wireguard', ''
    from link
    group by subscription_id
    having count(*) = 6 and max(case when protocol = 'wireguard' then 1 else 0 end) = 0;
    `,
  ),
  // What PostgreSQL does by itself takes most of the time in which configs are written. It is left at that where the
  // server is too old for anything else, or was built without.
  {
    name: "0006-compression",
    sql: {
      sqlite: "select 1;",
      postgres: `
      do $$
      begin
        execute 'alter table config_blob alter column config set compression lz4';
      exception
        when feature_not_supported or syntax_error then null;
      end
      $$;
      `,
    },
  },
  // By user first, each entry of a report was written to another page: the more there was, the slower.
  step(
    "0007-usage-index",
    `
    drop index usage_minute_account;
    create index usage_minute_time on usage_minute (minute, account_id);
    `,
  ),
  // What users have carried over a protocol is told after it was deleted, long after when the node cannot reach Core.
  step(
    "0008-former-protocols",
    `
    create table former_node_protocol (
      id {int} primary key,
      node_id {int} not null references node (id) on delete cascade,
      deleted_at {int} not null
    );
    create index former_node_protocol_node on former_node_protocol (node_id);
    `,
  ),
];

/** A step in the words of both engines. */
function step(name: string, text: string): Migration {
  const words = (of: Record<string, string>) =>
    text.replaceAll(/\{(\w+)\}/g, (_, word: string) => of[word] ?? `{${word}}`);
  return {
    name,
    sql: {
      sqlite: words({
        id: "integer primary key",
        // Never given again: what is reported late of one that is gone must not meet another.
        key: "integer primary key autoincrement",
        int: "integer",
        small: "integer",
        blob: "blob",
        clustered: " without rowid",
      }),
      postgres: words({
        id: "bigint generated by default as identity primary key",
        key: "bigint generated by default as identity primary key",
        int: "bigint",
        small: "smallint",
        blob: "bytea",
        clustered: "",
      }),
    },
  };
}
