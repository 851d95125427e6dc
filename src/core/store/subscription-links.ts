import { sql } from "kysely";
import type { Database } from "../../platform/storage/database.ts";
import { refusalOf } from "../domain/fleet/subscription-state.ts";
import { createMemory } from "../domain/memory.ts";
import type { FoundSubscription, SubscriptionLinkStore } from "../domain/subscription-links/subscription-documents.ts";
import type { ViewedLink, ViewedProtocol } from "../domain/subscription-links/subscription-view.ts";
import type { CoreSchema } from "./schema.ts";
import { createTunnelAddresses } from "./tunnel-addresses.ts";

/** What subscription links show, as it is in the database. */
export interface ReadSubscriptionLinks extends SubscriptionLinkStore {
  /** Nodes or their protocols have changed: reads them anew. */
  changed(): void;
}

/**
 * Reads what subscription links show. Most subscriptions have all protocols of all nodes: those are remembered for a
 * second, in which changes by other processes may go unnoticed. All else is read each time.
 *
 * @param now milliseconds that only grow
 */
export function createSubscriptionLinkStore(database: Database<CoreSchema>, now: () => number): ReadSubscriptionLinks {
  const { prepare, engine } = database;
  const addresses = createTunnelAddresses(database);
  const numbers = prepare<{ id: number }, { node_protocol_id: number; number: number }>((db, { id }) =>
    db.selectFrom("tunnel_address").select(["node_protocol_id", "number"]).where("subscription_id", "=", id),
  );
  // Who asks again and again for what is not to be had shall not make us look each time.
  const exhaustedUntil = new Map<number, number>();
  const find = prepare<{ hash: Uint8Array }, SubscriptionRow>((db, { hash }) =>
    db
      .selectFrom("subscription")
      .innerJoin("account", "account.id", "subscription.account_id")
      .select([
        "subscription.id",
        "subscription.name",
        "subscription.enabled",
        "subscription.created_at",
        "subscription.expires_at",
        "subscription.quota_bytes",
        "subscription.bytes_up",
        "subscription.bytes_down",
        "subscription.period_bytes",
        "subscription.all_protocols",
        "account.name as user_name",
        "account.enabled as user_enabled",
        linksAsJson(engine).as("links"),
        numbersAsJson(engine).as("tunnel_numbers"),
      ])
      .where("subscription.token_hash", "=", hash),
  );
  const allProtocols = prepare<object, ProtocolRow>((db) => protocolQuery(db));
  const chosenProtocols = prepare<{ id: number }, ProtocolRow>((db, { id }) =>
    protocolQuery(db)
      .innerJoin("subscription_protocol", "subscription_protocol.node_protocol_id", "node_protocol.id")
      .where("subscription_protocol.subscription_id", "=", id),
  );
  const everything = createMemory<readonly ViewedProtocol[]>({
    load: async () => (await allProtocols.all({})).map(protocolOf),
    ttlMs: 1_000,
    capacity: 1,
    now,
  });

  return {
    changed: () => everything.forget(),
    async find(tokenHash, now) {
      const row = await find.first({ hash: tokenHash });
      return row && foundOf(row, now);
    },
    async giveAddresses(id, nodeProtocolIds) {
      for (const nodeProtocolId of nodeProtocolIds) {
        if ((exhaustedUntil.get(nodeProtocolId) ?? 0) > now()) continue;
        exhaustedUntil.delete(nodeProtocolId);
        const left = await addresses.give(nodeProtocolId, [id]);
        if (left > 0) exhaustedUntil.set(nodeProtocolId, now() + exhaustedMs);
      }
      return new Map((await numbers.all({ id })).map((row) => [row.node_protocol_id, row.number]));
    },
    async protocolsOf({ id, allProtocols: all }) {
      return all ? ((await everything.get("")) ?? []) : (await chosenProtocols.all({ id })).map(protocolOf);
    },
  };
}

/** How long nobody looks whether there are addresses again. */
const exhaustedMs = 10_000;

function protocolQuery(db: Database<CoreSchema>["db"]) {
  return db
    .selectFrom("node_protocol")
    .innerJoin("node", "node.id", "node_protocol.node_id")
    .select([
      "node_protocol.id",
      "node_protocol.protocol",
      "node_protocol.tag",
      "node_protocol.remark",
      "node_protocol.port",
      "node_protocol.enabled",
      "node_protocol.settings",
      "node_protocol.link_settings",
      "node.id as node_id",
      "node.name as node_name",
      "node.domain",
      "node.host",
      "node.ip",
      "node.disabled",
      "node.draining_since",
    ]);
}

interface SubscriptionRow {
  id: number;
  name: string;
  enabled: number;
  created_at: number;
  expires_at: number | null;
  quota_bytes: bigint | null;
  bytes_up: bigint;
  bytes_down: bigint;
  period_bytes: bigint;
  all_protocols: number;
  user_name: string;
  user_enabled: number;
  links: string;
  tunnel_numbers: string;
}

function foundOf(row: SubscriptionRow, now: number): FoundSubscription {
  const terms = { expiresAt: row.expires_at, quotaBytes: row.quota_bytes, periodBytes: row.period_bytes };
  const isEnabled = row.enabled === 1 && row.user_enabled === 1;
  return {
    id: row.id,
    allProtocols: row.all_protocols === 1,
    title: row.name || row.user_name,
    state: isEnabled ? states[refusalOf(terms, now)] : "disabled",
    createdAt: row.created_at,
    bytesUp: row.bytes_up,
    bytesDown: row.bytes_down,
    ...terms,
    links: linksOf(row.links),
    tunnelNumbers: new Map(JSON.parse(row.tunnel_numbers) as [number, number][]),
  };
}

const states = { "": "active", expired: "expired", quota: "over_quota" } as const;

/** The links of a subscription, in the row of it: a statement more would cost as much as all of this one. */
function linksAsJson(engine: Database<CoreSchema>["engine"]) {
  return rowsAsJson(engine, "link", ["protocol", "uuid", "secret", "enabled"]);
}

/** The numbers of its addresses. */
function numbersAsJson(engine: Database<CoreSchema>["engine"]) {
  return rowsAsJson(engine, "tunnel_address", ["node_protocol_id", "number"]);
}

function rowsAsJson(engine: Database<CoreSchema>["engine"], table: string, columns: readonly string[]) {
  const [all, one] = engine === "sqlite" ? ["json_group_array", "json_array"] : ["json_agg", "json_build_array"];
  const row = sql`${sql.raw(one)}(${sql.join(columns.map((column) => sql.ref(`${table}.${column}`)))})`;
  return sql<string>`(select coalesce(${sql.raw(all)}(${row}), '[]') from ${sql.table(table)} where subscription_id = subscription.id)`;
}

/** Reads {@link linksAsJson}. */
function linksOf(json: string): ViewedLink[] {
  const links: [string, string, string, number][] = JSON.parse(json);
  return links.map(([protocol, uuid, secret, enabled]) => ({ protocol, uuid, secret, enabled: enabled === 1 }));
}

interface ProtocolRow {
  id: number;
  protocol: string;
  tag: string;
  remark: string;
  port: number;
  enabled: number;
  settings: string;
  link_settings: string;
  node_id: number;
  node_name: string;
  domain: string;
  host: string;
  ip: string;
  disabled: number;
  draining_since: number | null;
}

function protocolOf(row: ProtocolRow): ViewedProtocol {
  return {
    id: row.id,
    protocol: row.protocol,
    tag: row.tag,
    remark: row.remark,
    port: row.port,
    enabled: row.enabled === 1,
    settings: row.settings,
    linkSettings: row.link_settings,
    node: {
      id: row.node_id,
      name: row.node_name,
      host: row.domain || row.host || row.ip,
      disabled: row.disabled === 1,
      drainingSince: row.draining_since,
    },
  };
}
