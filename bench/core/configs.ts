import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { NodeAgentService } from "../../gen/garrison/core/v1/node_agent_pb.ts";
import { engines, shareDatabase } from "../../test/core/shared-database.ts";
import { type ChildServer, startServer } from "../child-server.ts";
import { requestsPerSecond } from "../h2load.ts";
import { report } from "../node/report.ts";
import { median, quantile } from "../rounds.ts";
import { benchKey } from "./config-keys.ts";

/** `config/latest` of a config of 10,000 users that the caller has already. */
export async function measureUnchanged(): Promise<void> {
  for (const engine of engines) {
    await withServer(engine, 1, 10_000, async ({ port }) => {
      const headers = { "x-node-auth-key": benchKey(0) };
      const path = "/node/config/latest";
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { headers });
      await answer.arrayBuffer();
      const known = { ...headers, "if-none-match": answer.headers.get("etag") ?? "" };
      const load = { port, path, headers: known, answer: "3xx" as const, http1: true, clients: 32, parallel: 1 };
      await requestsPerSecond({ ...load, amount: { seconds: 2 } });
      const value = await requestsPerSecond({ ...load, amount: { seconds: 5 } });
      report({ about: `config/latest unchanged, 304, ${engine}`, value, unit: "calls/s", atLeast: 10_000 });
    });
  }
}

/** One user is added: until nodes that watch have the difference. */
export async function measureFanOut(nodes = 1_000, users = 100, rounds = 5): Promise<void> {
  for (const engine of engines) {
    await withServer(engine, nodes, users, async ({ port, send }) => {
      const streams = await Promise.all(Array.from({ length: nodes }, (_, node) => watch(port, node)));
      const lastMs: number[] = [];
      const middleMs: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const startedAt = performance.now();
        send("a user is added");
        const took = await Promise.all(
          streams.map(async (next) => {
            if ((await next()) !== "delta") throw new Error("a node got something else than a delta");
            return performance.now() - startedAt;
          }),
        );
        lastMs.push(Math.max(...took));
        middleMs.push(quantile(took, 0.5));
      }
      const about = `one user added, ${nodes} nodes of ${users} users watch: the last one has it, ${engine}`;
      report({ about, value: median(lastMs), unit: "ms", atMost: 1_000 });
      report({ about: "  the middle one has it", value: median(middleMs), unit: "ms" });
    });
  }
}

/** Opens the stream of a node, over a connection of its own, and reads its first event. Returns what reads the next. */
async function watch(port: number, node: number): Promise<() => Promise<string | undefined>> {
  const transport = createGrpcTransport({
    baseUrl: `http://127.0.0.1:${port}`,
    interceptors: [
      (next) => (request) => {
        request.header.set("x-node-auth-key", benchKey(node));
        return next(request);
      },
    ],
  });
  const events = createClient(NodeAgentService, transport).watchConfig({ deltas: true })[Symbol.asyncIterator]();
  const next = async () => {
    for (;;) {
      const { value } = await events.next();
      if (value?.event.case !== "keepAlive") return value?.event.case;
    }
  };
  await next();
  return next;
}

async function withServer(
  engine: (typeof engines)[number],
  nodes: number,
  users: number,
  measure: (server: ChildServer) => Promise<void>,
): Promise<void> {
  const shared = await shareDatabase(engine);
  const { file, url } = shared.location;
  const script = new URL("serve-configs.ts", import.meta.url).pathname;
  const server = await startServer(script, [file ?? url ?? "", `${nodes}`, `${users}`], "both");
  try {
    await measure(server);
  } finally {
    await server.close();
    await shared.close();
  }
}
