import { once } from "node:events";
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from "node:http";
import { connect } from "node:http2";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { NodeService, StatRequestSchema, StatResponseSchema, StatType } from "../../gen/service/node_pb.ts";

/** One connection over which GetStats of all users is called, with reset. */
export interface StatsLine {
  /** The bytes that were told, over all counters. */
  read(): Promise<bigint>;
  /** Ends the connection as a client does that is done. */
  close(): void;
}

/** A protocol and an HTTP version over which GetStats is called. */
export interface StatsWay {
  readonly name: string;
  readonly http: 1 | 2;
  open(url: string, header: Readonly<Record<string, string>>): StatsLine;
}

const trusting = { rejectUnauthorized: false };
const query = { type: StatType.UsersStat, reset: true };

/** All of them. Each opens one connection and keeps to it. */
export const statsWays: readonly StatsWay[] = [
  { name: "gRPC", http: 2, open: overHttp2((options) => createGrpcTransport(options)) },
  { name: "Connect over HTTP/2", http: 2, open: overHttp2((options) => createConnectTransport(options)) },
  { name: "gRPC-Web over HTTP/2", http: 2, open: overHttp2((options) => createGrpcWebTransport(options)) },
  { name: "REST over HTTP/2", http: 2, open: restOverHttp2 },
  { name: "Connect over HTTP/1.1", http: 1, open: overHttp1((options) => createConnectTransport(options)) },
  { name: "gRPC-Web over HTTP/1.1", http: 1, open: overHttp1((options) => createGrpcWebTransport(options)) },
  { name: "REST over HTTP/1.1", http: 1, open: restOverHttp1 },
];

interface Http2Options {
  baseUrl: string;
  httpVersion: "2";
  sessionManager: Http2SessionManager;
}

function overHttp2(transport: (options: Http2Options) => Transport): StatsWay["open"] {
  return (baseUrl, header) => {
    const sessionManager = new Http2SessionManager(baseUrl, {}, trusting);
    const client = createClient(NodeService, transport({ baseUrl, httpVersion: "2", sessionManager }));
    return {
      read: async () => bytesOf(await client.getStats(query, { headers: header })),
      close: () => sessionManager.abort(),
    };
  };
}

interface Http1Options {
  baseUrl: string;
  httpVersion: "1.1";
  nodeOptions: { agent: HttpAgent };
}

function overHttp1(transport: (options: Http1Options) => Transport): StatsWay["open"] {
  return (baseUrl, header) => {
    const agent = agentFor(baseUrl);
    const client = createClient(NodeService, transport({ baseUrl, httpVersion: "1.1", nodeOptions: { agent } }));
    return {
      read: async () => bytesOf(await client.getStats(query, { headers: header })),
      close: () => agent.destroy(),
    };
  };
}

function restOverHttp2(url: string, header: Readonly<Record<string, string>>): StatsLine {
  const session = connect(url, trusting);
  session.on("error", () => undefined);
  return {
    async read() {
      const type = { "content-type": "application/x-protobuf" };
      const stream = session.request({ ":method": "GET", ":path": "/stats", ...type, ...header }, { endStream: false });
      stream.end(body());
      await once(stream, "response");
      return bytesOf(fromBinary(StatResponseSchema, Buffer.concat(await Array.fromAsync(stream))));
    },
    close: () => session.close(),
  };
}

function restOverHttp1(url: string, header: Readonly<Record<string, string>>): StatsLine {
  const agent = agentFor(url);
  const request = url.startsWith("https:") ? httpsRequest : httpRequest;
  return {
    async read() {
      const bytes = body();
      const headers = { "content-type": "application/x-protobuf", "content-length": bytes.length, ...header };
      const call = request(new URL("/stats", url), { method: "GET", agent, headers });
      call.end(bytes);
      call.on("error", () => undefined); // it tells once more what its answer tells
      const [response] = (await once(call, "response")) as [IncomingMessage];
      return bytesOf(fromBinary(StatResponseSchema, Buffer.concat(await Array.fromAsync(response))));
    },
    close: () => agent.destroy(),
  };
}

function agentFor(url: string): HttpAgent {
  return url.startsWith("https:")
    ? new HttpsAgent({ keepAlive: true, maxSockets: 1, ...trusting })
    : new HttpAgent({ keepAlive: true, maxSockets: 1 });
}

function body(): Uint8Array {
  return toBinary(StatRequestSchema, create(StatRequestSchema, query));
}

function bytesOf({ stats }: { readonly stats: readonly { readonly value: bigint }[] }): bigint {
  return stats.reduce((sum, { value }) => sum + value, 0n);
}
