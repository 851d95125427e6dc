import { execFile } from "node:child_process";
import { PassThrough } from "node:stream";
import { promisify } from "node:util";
import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { NodeAgentService } from "../../gen/garrison/core/v1/node_agent_pb.ts";
import { type Core, createCore } from "../../src/core/core.ts";
import { hashOf } from "../../src/core/domain/hashed-secret.ts";
import type { OperatorScope } from "../../src/core/domain/operator-keys.ts";
import type { CoreSchema } from "../../src/core/store/schema.ts";
import { makeEnrolmentSecret, writeEnrolmentCode } from "../../src/platform/identity/enrolment-code.ts";
import { createServer, type Server } from "../../src/platform/server/server.ts";
import type { Database } from "../../src/platform/storage/database.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { createMetrics } from "../../src/platform/telemetry/metrics.ts";
import { addOperatorKey } from "./operator-key.ts";
import type { SharedDatabase } from "./shared-database.ts";

/** Ways to call by RPC, which must do the same. */
export const rpcWays = ["connect", "grpc", "grpc-web"] as const;

/** An answer in REST. */
export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string | undefined;
}

/** A replica of Core as it is, on a port of its own. */
export interface CoreUnderTest {
  readonly url: string;
  readonly database: Database<CoreSchema>;
  /** Everything that was logged. */
  log(): string;
  /** What `/metrics` shows. */
  metrics(): Promise<string>;
  /** Calls with curl. Without a body: GET. */
  curl(path: string, body?: string, ...headers: string[]): Promise<Answer>;
  /** Calls by RPC. */
  agent(way: (typeof rpcWays)[number], key?: string): Client<typeof NodeAgentService>;
  /** Makes an enrolment code: the whole string. */
  makeCode(code?: { nodeId?: number; region?: string; validForMs?: number; revoked?: boolean }): Promise<string>;
  /** Enrols a node, and tells its id and key. */
  enrol(name: string): Promise<{ nodeId: number; key: string }>;
  /** Makes an API key. */
  operator(...scopes: OperatorScope[]): Promise<string>;
  close(): Promise<void>;
}

const caSha256 = "ab".repeat(32);

/** Starts a replica on a database. `clock.now` is milliseconds since 1970. */
export async function serveCore(shared: SharedDatabase, clock: { now: number }): Promise<CoreUnderTest> {
  const database = await shared.open();
  const lines = new PassThrough();
  let logged = "";
  lines.setEncoding("utf8").on("data", (text: string) => {
    logged += text;
  });
  const log = createLog("core", "trace", lines);
  const now = () => clock.now;
  const urls = () => ["https://core.example.org"];
  const metrics = createMetrics("core");
  const { registry } = metrics;
  const core: Core = createCore({ database, version: "0.0.0", urls, caSha256, registry, now, log });
  const { services, gate, describe } = core;
  const server: Server = await createServer({
    services,
    gate,
    describe,
    host: "127.0.0.1",
    port: 0,
    maxMessageBytes: 4 * 1024 * 1024,
    log,
    metrics,
  });
  let octet = 0;
  const under: CoreUnderTest = {
    url: server.url,
    database,
    log: () => logged,
    metrics: () => registry.metrics(),
    curl: (path, body, ...headers) => curl(`${server.url}${path}`, body, headers),
    agent: (way, key = "") => createClient(NodeAgentService, transportOf(way, server.url, key)),
    async makeCode({ nodeId, region = "", validForMs = 3_600_000, revoked = false } = {}) {
      const secret = makeEnrolmentSecret();
      await database.db
        .insertInto("enrolment_code")
        .values({
          hash: hashOf(secret),
          node_id: nodeId ?? null,
          region,
          created_at: clock.now,
          expires_at: clock.now + validForMs,
          revoked_at: revoked ? clock.now : null,
        })
        .execute();
      return writeEnrolmentCode({ secret, urls: urls(), caSha256 });
    },
    async enrol(name) {
      octet += 1;
      const request = { code: await under.makeCode(), name, ip: `192.0.2.${octet}` };
      const { authKey, nodeId } = await under.agent("connect").register(request);
      return { nodeId: Number(nodeId), key: authKey };
    },
    async operator(...scopes) {
      return (await addOperatorKey(database, scopes)).key;
    },
    async close() {
      await server.close();
      await core.close();
    },
  };
  return under;
}

async function curl(url: string, body: string | undefined, headers: readonly string[]): Promise<Answer> {
  const posted = body === undefined ? [] : ["-H", "content-type: application/json", "--data-binary", "@-"];
  const given = headers.flatMap((header) => ["-H", header]);
  const shown = ["-w", "\n%{http_code} %header{retry-after}"];
  const running = promisify(execFile)("curl", ["-sS", ...posted, ...given, ...shown, url], { maxBuffer: 2 ** 24 });
  running.child.stdin?.on("error", () => undefined); // who refuses a body need not read it
  running.child.stdin?.end(body ?? "");
  const { stdout } = await running;
  const [, text = "", status, retryAfter] = /^(.*)\n(\d+) (\d*)$/s.exec(stdout) ?? [];
  return { status: Number(status), text, retryAfter: retryAfter || undefined };
}

function transportOf(way: (typeof rpcWays)[number], baseUrl: string, key: string): Transport {
  const withKey: Interceptor = (next) => (request) => {
    if (key !== "") request.header.set("x-node-auth-key", key);
    return next(request);
  };
  const options = { baseUrl, interceptors: [withKey] };
  if (way === "grpc") return createGrpcTransport(options);
  return way === "connect"
    ? createConnectTransport({ ...options, httpVersion: "2" })
    : createGrpcWebTransport({ ...options, httpVersion: "1.1" });
}
