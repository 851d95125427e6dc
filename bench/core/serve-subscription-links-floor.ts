// The least that a link costs: a bare server that reads the same rows by the database's own driver, and writes the same
// documents with the same headers. Argument: the database, which has its subscriptions.
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { DatabaseSync } from "node:sqlite";
import pg from "pg";
import { documentHeaders, privacyHeaders } from "../../src/core/domain/subscription-links/document-headers.ts";
import { createEndpointReader } from "../../src/core/domain/subscription-links/endpoints.ts";
import { type FormatName, formats } from "../../src/core/domain/subscription-links/formats/formats.ts";
import type { SubscriptionView } from "../../src/core/domain/subscription-links/subscription-view.ts";

type Row = Record<string, string | number | null>;

const [subscriptionText, linksText, protocolsText] = [
  `select subscription.*, account.name as user_name from subscription
    join account on account.id = subscription.account_id where token_hash = $1`,
  "select protocol, uuid, secret, enabled from link where subscription_id = $1",
  `select node_protocol.*, node.name as node_name, domain, disabled, draining_since
    from node_protocol join node on node.id = node_id`,
];

const place = process.argv[2] ?? "";
const read = place.startsWith("postgres:") ? postgresReader(place) : sqliteReader(place);
const { endpointsOf } = createEndpointReader();
const server = createServer(async (request, response) => {
  const url = new URL(request.url ?? "", "http://floor");
  const format = (url.searchParams.get("format") ?? "links") as FormatName; // the bench asks for no others
  const view = await read(createHash("sha256").update(url.pathname.slice("/sub/".length)).digest());
  const { contentType, body } = formats[format](endpointsOf(view));
  const headers = { ...privacyHeaders, ...documentHeaders(view, format), "content-type": contentType };
  response.writeHead(200, { ...headers, "content-length": Buffer.byteLength(body) }).end(body);
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
process.once("SIGTERM", () => process.exit());

function sqliteReader(file: string): (hash: Buffer) => Promise<SubscriptionView> {
  const database = new DatabaseSync(file);
  const [subscription, links, protocols] = [subscriptionText, linksText, protocolsText].map((text) =>
    database.prepare(text.replace("$1", "?")),
  );
  return async (hash) => {
    const found = subscription?.get(hash) as Row;
    return viewOf(found, links?.all(found.id ?? 0) as Row[], protocols?.all() as Row[]);
  };
}

function postgresReader(connectionString: string): (hash: Buffer) => Promise<SubscriptionView> {
  const pool = new pg.Pool({ connectionString });
  const rows = async (name: string, text: string, ...values: unknown[]) =>
    (await pool.query<Row>({ name, text, values })).rows;
  return async (hash) => {
    const [found = {}] = await rows("subscription", subscriptionText, hash);
    const [links, protocols] = await Promise.all([
      rows("links", linksText, found.id),
      rows("protocols", protocolsText),
    ]);
    return viewOf(found, links, protocols);
  };
}

function viewOf(found: Row, links: Row[], protocols: Row[]): SubscriptionView {
  return {
    title: `${found.name || found.user_name}`,
    state: "active",
    createdAt: Number(found.created_at),
    bytesUp: BigInt(found.bytes_up ?? 0),
    bytesDown: BigInt(found.bytes_down ?? 0),
    periodBytes: BigInt(found.period_bytes ?? 0),
    quotaBytes: BigInt(found.quota_bytes ?? 0),
    expiresAt: null,
    links: links.map((link) => ({
      protocol: `${link.protocol}`,
      uuid: `${link.uuid}`,
      secret: `${link.secret}`,
      enabled: link.enabled === 1,
    })),
    tunnelNumbers: new Map(),
    protocols: protocols.map((row) => ({
      id: Number(row.id),
      protocol: `${row.protocol}`,
      tag: `${row.tag}`,
      remark: `${row.remark}`,
      port: Number(row.port),
      enabled: row.enabled === 1,
      settings: `${row.settings}`,
      linkSettings: `${row.link_settings}`,
      node: {
        id: Number(row.node_id),
        name: `${row.node_name}`,
        host: `${row.domain}`,
        disabled: row.disabled === 1,
        drainingSince: row.draining_since === null ? null : Number(row.draining_since),
      },
    })),
  };
}
