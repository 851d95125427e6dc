import { hashSubscriptionToken } from "../../src/core/domain/fleet/subscription-token.ts";
import type { FormatName } from "../../src/core/domain/subscription-links/formats/formats.ts";
import type { CoreSchema } from "../../src/core/store/schema.ts";
import type { Database } from "../../src/platform/storage/database.ts";
import { addNode, addUsers } from "../../test/core/fleet-rows.ts";
import { openBenchDatabase } from "./open-database.ts";

/** Subscriptions that there are. Each has all protocols of all nodes. */
export const subscriptions = 10_000;
const nodes = 10;

/** The path of a subscription's link, in a format. */
export function pathOf(subscription: number, format: FormatName): string {
  return `/sub/${tokenOf(subscription)}?format=${format}`;
}

/** Opens a database; a new one gets its nodes and subscriptions. */
export async function openSubscriptions(place: string): Promise<Database<CoreSchema>> {
  const database = await openBenchDatabase(place);
  const { db } = database;
  if ((await db.selectFrom("node").select("id").executeTakeFirst()) !== undefined) return database;
  for (let n = 1; n <= nodes; n += 1) {
    const id = await addNode(database, `node-${n}`, Object.keys(settings));
    await db
      .updateTable("node")
      .set({ domain: `node-${n}.example.org` })
      .where("id", "=", id)
      .execute();
  }
  for (const [protocol, text] of Object.entries(settings)) {
    const row = { settings: JSON.stringify(text), remark: protocol.toUpperCase() };
    await db.updateTable("node_protocol").set(row).where("protocol", "=", protocol).execute();
  }
  const more = { quota_bytes: 10n ** 11n, period_bytes: 10n ** 10n };
  const ids = await addUsers(database, subscriptions, Object.keys(settings), more);
  await database.transaction(async (tx) => {
    for (const [index, id] of ids.entries()) {
      const token_hash = hashSubscriptionToken(tokenOf(index));
      await tx.updateTable("subscription").set({ token_hash }).where("id", "=", id).execute();
    }
  });
  return database;
}

function tokenOf(subscription: number): string {
  return Buffer.from(`subscription ${subscription}`.padEnd(24)).toString("base64url");
}

const tlsSettings = {
  serverName: "www.example.org",
  alpn: ["h2", "http/1.1"],
  certificates: [{ certificateFile: "/etc/ssl/node/fullchain.pem", keyFile: "/etc/ssl/node/privkey.pem" }],
};

/** What the protocols of a node say, as operators write it. */
const settings = {
  vless: {
    settings: { flow: "xtls-rprx-vision", decryption: "none" },
    streamSettings: {
      network: "raw",
      security: "reality",
      realitySettings: {
        target: "www.example.com:443",
        serverNames: ["www.example.com", "example.com"],
        privateKey: "aGVsbG8gdGhpcyBpcyBhIGtleSBvZiAzMiBieXRlcyE",
        shortIds: ["6ba85179e30d4fc2", "0123456789abcdef"],
      },
    },
    sniffing: { enabled: true, destOverride: ["http", "tls", "quic"] },
  },
  vmess: {
    streamSettings: {
      network: "ws",
      security: "tls",
      tlsSettings,
      wsSettings: { path: "/ws", host: "www.example.org" },
    },
    sniffing: { enabled: true, destOverride: ["http", "tls", "quic"] },
  },
  trojan: {
    streamSettings: { network: "grpc", security: "tls", tlsSettings, grpcSettings: { serviceName: "gun" } },
    sniffing: { enabled: true, destOverride: ["http", "tls", "quic"] },
  },
  hysteria2: {
    streamSettings: { network: "hysteria", security: "tls", tlsSettings: { ...tlsSettings, alpn: ["h3"] } },
  },
};
