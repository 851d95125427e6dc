import { deepStrictEqual } from "node:assert/strict";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { NodeService } from "../../gen/service/node_pb.ts";
import type { ChildServer } from "../child-server.ts";
import { key, logLine, statsOf, streamLength } from "./bench-service.ts";

/** The servers of the bench. */
export type Servers = Record<"short" | "router" | "grpcJs" | "connectFastify" | "fastify", ChildServer>;

/** Throws unless the servers answer alike, and refuse a call without the key: only then do their speeds compare. */
export async function checkAnswers(servers: Servers): Promise<void> {
  for (const { port } of [servers.short, servers.router, servers.grpcJs]) {
    await checkStats(createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }));
    await checkStreams(createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }));
  }
  for (const { port } of [servers.short, servers.connectFastify]) {
    const baseUrl = `http://127.0.0.1:${port}`;
    await checkStats(createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true }));
  }
  const derived = await item(servers.short, "/api/bare/items/a-7");
  deepStrictEqual(derived, await item(servers.fastify, "/api/bare/items/a-7"));
  deepStrictEqual(derived, await item(servers.fastify, "/bare/a-7"));
}

const headers = { "x-api-key": key };

async function checkStats(transport: Transport): Promise<void> {
  const client = createClient(NodeService, transport);
  const { stats } = await client.getStats({ name: "a", type: 5 }, { headers });
  deepStrictEqual(
    stats.map(({ $typeName: _, ...stat }) => stat),
    statsOf("a").map((stat) => ({ ...stat, value: BigInt(stat.value) })),
  );
  const refused = await client.getStats({ name: "a", type: 5 }).then(
    () => false,
    () => true,
  );
  deepStrictEqual(refused, true);
}

async function checkStreams(transport: Transport): Promise<void> {
  const client = createClient(NodeService, transport);
  let count = 0;
  for await (const { detail } of client.getLogs({}, { headers })) if (detail === logLine) count += 1;
  deepStrictEqual(count, streamLength);
  async function* users() {
    yield { email: "a@b" };
  }
  await client.syncUser(users(), { headers });
}

async function item({ port }: ChildServer, path: string): Promise<unknown> {
  return (await fetch(`http://127.0.0.1:${port}${path}`, { headers })).json();
}
