import { once } from "node:events";
import { type ClientHttp2Session, connect } from "node:http2";
import { setTimeout as pause } from "node:timers/promises";
import { spread } from "../../src/node/agent/contact/backoff.ts";
import { benchKey } from "./config-keys.ts";

/** Nodes that beat as agents do: each over an HTTP/2 connection of its own, which it opens anew when it is lost. */
export interface SimulatedNodes {
  /** How long the heartbeats since the last call took, in milliseconds, and how many were not answered. */
  taken(): { waitsMs: number[]; failed: number };
  /** Cuts all connections at once. The nodes come back within the time that Core has told them, and beat. */
  cut(): void;
  /** How long Core wants them to take to come back. */
  readonly reconnectMs: number;
  close(): Promise<void>;
}

/** Starts them, spread over one interval. */
export function startNodes(port: number, count: number, intervalMs: number): SimulatedNodes {
  let waitsMs: number[] = [];
  let failed = 0;
  let closed = false;
  let reconnectMs = 500;
  const sessions = new Map<number, ClientHttp2Session>();

  async function session(node: number): Promise<ClientHttp2Session> {
    const open = sessions.get(node);
    if (open !== undefined && !open.closed && !open.destroyed) return open;
    const opened = connect(`http://127.0.0.1:${port}`);
    opened.on("error", () => undefined); // its streams tell
    sessions.set(node, opened);
    await once(opened, "connect");
    return opened;
  }

  async function beat(node: number): Promise<void> {
    const startedAt = performance.now();
    const stream = (await session(node)).request({
      ":method": "POST",
      ":path": "/garrison.core.v1.NodeAgentService/Heartbeat",
      "content-type": "application/json",
      "x-node-auth-key": benchKey(node),
    });
    let status: unknown;
    let answer = "";
    stream.on("response", (header) => {
      status = header[":status"];
    });
    stream.setEncoding("utf8").on("data", (text: string) => {
      answer += text;
    });
    stream.end(JSON.stringify({ installId: `install-${node}`, protocolVersion: 1, agentVersion: "1.0.0" }));
    await once(stream, "close");
    if (status !== 200) throw new Error(`a heartbeat was answered ${status}`);
    waitsMs.push(performance.now() - startedAt);
    reconnectMs = JSON.parse(answer).intervals.reconnectMs;
  }

  let resting = new AbortController();
  async function live(node: number): Promise<void> {
    await pause(Math.random() * intervalMs);
    while (!closed) {
      const { signal } = resting;
      await beat(node).catch(() => {
        if (!signal.aborted) failed += 1;
      });
      await pause(intervalMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) await pause(spread(reconnectMs));
    }
  }
  const living = Array.from({ length: count }, (_, node) => live(node));

  function cut(): void {
    for (const each of sessions.values()) each.destroy();
    const before = resting;
    resting = new AbortController();
    before.abort();
  }

  return {
    taken() {
      const result = { waitsMs, failed };
      waitsMs = [];
      failed = 0;
      return result;
    },
    cut,
    get reconnectMs() {
      return reconnectMs;
    },
    async close() {
      closed = true;
      cut();
      await Promise.all(living);
      for (const each of sessions.values()) each.destroy();
    },
  };
}
