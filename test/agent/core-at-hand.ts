import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type DescService } from "@bufbuild/protobuf";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { NodeProtocolService } from "../../gen/garrison/core/v1/node_protocols_pb.ts";
import { IntervalsSchema } from "../../gen/garrison/core/v1/node_status_pb.ts";
import { NodeService } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionService } from "../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserService } from "../../gen/garrison/core/v1/users_pb.ts";
import { VpnProtocol } from "../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { createCore } from "../../src/core/core.ts";
import { openCoreDatabase } from "../../src/core/store/open.ts";
import type { CoreSchema } from "../../src/core/store/schema.ts";
import {
  type AuthorityKeyPair,
  certificateSha256,
  createAuthority,
  issueCertificate,
} from "../../src/platform/identity/authority.ts";
import { pinnedTls } from "../../src/platform/identity/pinned-tls.ts";
import { createServer } from "../../src/platform/server/server.ts";
import type { Database } from "../../src/platform/storage/database.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { addOperatorKey } from "../core/operator-key.ts";
import { freePorts } from "../support/ports.ts";

/** A user with one link. */
export interface LinkAtHand {
  readonly subscriptionId: bigint;
  /** What VLESS knows the user by. */
  readonly id: string;
}

/** A real Core over TLS, on SQLite, that can go away and come back. It wants to hear from its nodes often. */
export interface CoreAtHand {
  readonly url: string;
  readonly database: Database<CoreSchema>;
  /** Calls as an operator who may do everything. */
  operate<S extends DescService>(service: S): Client<S>;
  /** Makes an enrolment code. */
  code(): Promise<string>;
  /** Adds an inbound of VLESS over plain TCP to a node; resolves to its id. */
  addVless(nodeId: number, port: number): Promise<bigint>;
  /** Adds a user with a subscription that has a link of VLESS. */
  addUser(terms?: { quotaBytes?: bigint; expiresAtMs?: number }): Promise<LinkAtHand>;
  /** Is not there until the returned function is called, which may bring another authority. */
  goAway(): Promise<(options?: { authority?: AuthorityKeyPair }) => Promise<void>>;
  close(): Promise<void>;
}

const intervals = create(IntervalsSchema, { heartbeatMs: 400, usageMs: 300, enginePollMs: 200, sessionsMs: 300 });
const names = { hostNames: ["localhost"], addresses: ["127.0.0.1"] };

/** Starts one. */
export async function startCore(): Promise<CoreAtHand> {
  const dataDir = await mkdtemp(join(tmpdir(), "garrison-core-"));
  const log = createLog("core", "silent");
  const database = await openCoreDatabase({ url: undefined, dataDir, log });
  const [port = 0] = await freePorts(1);
  const url = `https://localhost:${port}`;
  const first = createAuthority("Core", new Date());
  let count = 0;

  const serve = async (authority: AuthorityKeyPair) => {
    const caSha256 = certificateSha256(authority.cert);
    const core = createCore({ database, version: "0.0.0", urls: () => [url], caSha256, intervals, now: Date.now, log });
    const { services, gate, describe } = core;
    const server = await createServer({
      ...{ services, gate, describe, host: "127.0.0.1", port, log, metrics: createMetrics("core") },
      tls: { pair: issueCertificate(authority, { names, now: new Date(), days: 1 }) },
    });
    return async () => {
      await server.close();
      await core.close();
    };
  };
  let end = await serve(first);

  const { key } = await addOperatorKey(database, ["*"]);
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: "1.1",
    nodeOptions: pinnedTls(first.cert),
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${key}`);
        return next(request);
      },
    ],
  });
  const operate: CoreAtHand["operate"] = (service) => createClient(service, transport);

  return {
    url,
    database,
    operate,
    code: async () => (await operate(NodeService).createEnrolmentCode({})).code,
    async addVless(nodeId, port) {
      const { nodeProtocol } = await operate(NodeProtocolService).createNodeProtocol({
        ...{ nodeId: BigInt(nodeId), protocol: VpnProtocol.VLESS, listen: "127.0.0.1", port },
      });
      return nodeProtocol?.id ?? 0n;
    },
    async addUser({ quotaBytes = 0n, expiresAtMs } = {}) {
      const { user } = await operate(UserService).createUser({ name: `user ${++count}` });
      const { subscription } = await operate(SubscriptionService).createSubscription({
        ...{ userId: user?.id ?? 0n, quotaBytes, protocols: [VpnProtocol.VLESS] },
        ...(expiresAtMs !== undefined && {
          expiresAt: { seconds: BigInt(Math.floor(expiresAtMs / 1_000)), nanos: (expiresAtMs % 1_000) * 1_000_000 },
        }),
      });
      const { uuid, secret } = await database.db
        .selectFrom("link")
        .select(["uuid", "secret"])
        .where("subscription_id", "=", Number(subscription?.id))
        .executeTakeFirstOrThrow();
      return { subscriptionId: subscription?.id ?? 0n, id: secret || uuid };
    },
    async goAway() {
      await end();
      return async ({ authority = first } = {}) => {
        end = await serve(authority);
      };
    },
    async close() {
      await end();
      await database.close();
      await rm(dataDir, { recursive: true });
    },
  };
}
