import { createServer } from "node:net";
import { Code, ConnectError } from "@connectrpc/connect";
import { type FleetClient, SubscriptionFormat, VpnProtocol } from "../client/fleet-client.ts";
import { readText } from "../platform/files/read-text.ts";
import { replaceFile } from "../platform/files/replace-file.ts";

/** Options of {@link ensureFirstUser}. */
export interface FirstUserOptions {
  fleet: FleetClient;
  /** The node that serves the user. */
  nodeId: number;
  /** The file that keeps the token of the user's subscription, which Core shows only once. */
  tokenFile: string;
}

const userName = "first-user";
/** What the node serves first: any client takes it as it is, without a domain and a certificate. */
const firstProtocol = { protocol: VpnProtocol.SHADOWSOCKS, method: "2022-blake3-aes-128-gcm", usualPort: 20_443 };

/**
 * Sees to it that a node serves a protocol, and that there is a user who may use it: what is there already stays as it is.
 * When the file is gone the user gets another token, and the one before is void.
 *
 * @returns the token in the link of the user's subscription; undefined when the one that is kept leads nowhere any more,
 * since somebody has replaced it, or the subscription has ended
 */
export async function ensureFirstUser({ fleet, nodeId, tokenFile }: FirstUserOptions): Promise<string | undefined> {
  await ensureProtocol(fleet, BigInt(nodeId));
  const { users } = await fleet.users.listUsers({ query: userName, pageSize: 1_000 });
  const user = users.find(({ name }) => name === userName) ?? (await fleet.users.createUser({ name: userName })).user;
  const userId = user?.id ?? 0n;
  const { subscriptions } = await fleet.subscriptions.listSubscriptions({ userId, pageSize: 1 });
  const kept = (await readText(tokenFile))?.trim();
  if (subscriptions.length > 0 && kept) return (await leadsSomewhere(fleet, kept)) ? kept : undefined;
  const { token } = await fleet.subscriptions.createSubscription({ userId, name: "Garrison", requestId: userName });
  await replaceFile(tokenFile, `${token}\n`);
  return token;
}

async function leadsSomewhere(fleet: FleetClient, token: string): Promise<boolean> {
  try {
    await fleet.subscriptionLinks.getSubscriptionDocument({ token, format: SubscriptionFormat.PLAIN });
    return true;
  } catch (error) {
    if (ConnectError.from(error).code === Code.NotFound) return false;
    throw error;
  }
}

async function ensureProtocol(fleet: FleetClient, nodeId: bigint): Promise<void> {
  const { nodeProtocols } = await fleet.nodeProtocols.listNodeProtocols({ nodeId, pageSize: 1 });
  if (nodeProtocols.length > 0) return;
  const { protocol, method, usualPort } = firstProtocol;
  const port = await freePort(usualPort);
  const settings = JSON.stringify({ settings: { method, network: "tcp,udp" } });
  await fleet.nodeProtocols.createNodeProtocol({ nodeId, protocol, port, settings });
}

/** The port that is wanted when nobody has it, else one that the system picks. */
async function freePort(wanted: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer();
  server.once("error", reject);
  server.listen(wanted, () => {
    const address = server.address();
    server.close(() => resolve(typeof address === "object" ? (address?.port ?? wanted) : wanted));
  });
  return promise.catch((error: unknown) => {
    if (wanted === 0) throw error;
    return freePort(0);
  });
}
