import { Agent, request } from "node:http";
import { type ChildServer, startServer } from "../child-server.ts";
import { quantile } from "../rounds.ts";
import { nodeKey, nodes, type Report, reportsOf, users } from "./usage-bodies.ts";

/** A server of reports, with a database of its own. */
export interface UsageServer {
  /** Sends the reports of one more minute, and returns how many entries of them a second were booked. */
  entriesPerSecond(): Promise<number>;
  /** The slowest answers, in milliseconds, to somebody who asked for next to nothing meanwhile. */
  stalls(): { readonly p99: number; readonly most: number };
  close(): Promise<void>;
}

/** Starts one on a database that does not exist yet. Each node sends its reports in order, one at a time. */
export async function startUsageServer(
  script: "serve-usage.ts" | "serve-usage-floor.ts",
  database: string,
  entriesPerBatch: number,
): Promise<UsageServer> {
  const server = await startServer(new URL(script, import.meta.url).pathname, [database]);
  const waits: number[] = [];
  // Minutes that are past, so that none is ahead of the server's clock.
  let minute = Math.floor(Date.now() / 60_000) * 60_000 - 24 * 60 * 60_000;
  return {
    async entriesPerSecond() {
      minute += 60_000;
      const reports = reportsOf(minute, `epoch-${minute}`, entriesPerBatch);
      // Of this minute alone: a server may close connections that rest meanwhile.
      const agent = new Agent({ keepAlive: true, maxSockets: nodes + 1 });
      const probing = probe(server, agent, waits);
      const startedAt = performance.now();
      await Promise.all(reports.map((ofNode) => sendAll(server, agent, ofNode)));
      const seconds = (performance.now() - startedAt) / 1000;
      await probing.stop();
      agent.destroy();
      return (nodes * users) / seconds;
    },
    stalls: () => ({ p99: quantile(waits, 0.99), most: Math.max(...waits) }),
    close: () => server.close(),
  };
}

async function sendAll(server: ChildServer, agent: Agent, reports: readonly Report[]): Promise<void> {
  for (const { nodeId, body } of reports) {
    await post(server, agent, "/node/usage", { "x-node-auth-key": `${nodeKey}${nodeId}` }, body);
  }
}

/** Asks for the health of the server every few milliseconds, and notes how long that took. */
function probe(server: ChildServer, agent: Agent, waits: number[]): { stop(): Promise<void> } {
  let stopped = false;
  const probing = (async () => {
    while (!stopped) {
      const startedAt = performance.now();
      await post(server, agent, "/healthz", {});
      waits.push(performance.now() - startedAt);
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  })();
  return {
    stop() {
      stopped = true;
      return probing;
    },
  };
}

function post({ port }: ChildServer, agent: Agent, path: string, headers: Record<string, string>, body?: string) {
  return new Promise<void>((resolve, reject) => {
    const sent = request(
      {
        ...{ agent, port, path, host: "127.0.0.1", method: body === undefined ? "GET" : "POST" },
        headers: { ...headers, ...(body !== undefined && { "content-type": "application/json" }) },
      },
      (response) => {
        let answer = "";
        response.setEncoding("utf8");
        response.on("data", (text: string) => {
          answer += text;
        });
        response.on("end", () => {
          if (response.statusCode === 200) resolve();
          else reject(new Error(`${path} was answered ${response.statusCode}: ${answer}`));
        });
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}
