import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { ClientHttp2Session } from "node:http2";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { peerOf } from "../../src/platform/listener/listener.ts";
import { floods } from "./floods.ts";
import { ask, ends, http2Client, start } from "./support.ts";

const mib = 1024 * 1024;
const authorization = "Bearer x";

async function startServer(mode: string, transport: string) {
  const child: ChildProcess = fork(new URL("flooded-server.ts", import.meta.url), [mode, transport], { execArgv: [] });
  ends({ close: () => child.kill("SIGKILL") });
  const [{ address, ca }] = await once(child, "message");
  const port: number = address.port;
  return {
    port,
    connect: () => http2Client(port, { secure: transport === "tls", ca }),
    /** The most memory that it had since it was asked last. */
    async peakBytes(): Promise<number> {
      child.send("peak");
      const [{ peakBytes }] = await once(child, "message");
      return peakBytes;
    },
  };
}

/** Ordinary work, so that what a busy server has anyway is not counted: compiled code, and a young generation of full size. */
async function warmUp(session: ClientHttp2Session) {
  await once(session, "remoteSettings");
  for (let round = 0; round < 60; round += 1) {
    await Promise.all(Array.from({ length: 250 }, () => ask(session, { authorization }, "x".repeat(1_000))));
  }
  session.destroy();
}

// Those that only push bodies, and those that make the most of every byte. The price of the latter is mostly that of the
// objects that Node makes before anything of ours is asked, and collects later. No gate reads what it has not admitted:
// a handler that does stands for a mistake, and shall not be the server's end.
describe.each([
  ["HTTP/1.1, a large body", "wait", "plain", 64],
  ["HTTP/1.1, a large body", "refuse", "plain", 64],
  ["HTTP/1.1, a large body", "read", "plain", 96],
  ["HTTP/2, 256 streams of large frames", "wait", "plain", 64],
  ["HTTP/2, 256 streams of large frames", "refuse", "plain", 64],
  ["HTTP/2, 256 streams of large frames", "read", "plain", 96],
  ["HTTP/2, 256 streams of large frames", "wait", "tls", 64],
  ["HTTP/2, 256 streams of frames of one byte", "wait", "plain", 128],
  ["HTTP/2, 256 streams whose headers unfold", "wait", "plain", 128],
  ["HTTP/1.1, chunks of one byte", "wait", "plain", 128],
])("100 connections without a credential: %s", (name, mode, transport, limitMib) => {
  it(`cost a server that would ${mode} less than ${limitMib} MiB over ${transport}, and others are served`, async () => {
    const secure = transport === "tls";
    const server = await startServer(mode, transport);
    const flood = floods[name];
    if (flood === undefined) throw new Error(`no such flood: ${name}`);
    await warmUp(server.connect());
    await sleep(200);
    await server.peakBytes();
    const before = await server.peakBytes();

    const sockets = Array.from({ length: 100 }, () => flood(server.port, secure));
    await sleep(1_500);
    const other = await ask(server.connect(), { authorization }, "x");
    const grown = (await server.peakBytes()) - before;
    for (const socket of sockets) socket.destroy();
    expect(other.status).toBe(200);
    expect(grown / mib).toBeLessThan(limitMib);
  });
});

describe("a caller whose gate takes its time", () => {
  it("may send more than it may hold: the rest waits, and all of it arrives", async () => {
    let most = 0;
    const { port, refusals } = await start(async (request, response) => {
      await sleep(300);
      if ("stream" in request) most = Math.max(most, request.stream.readableLength);
      peerOf(request).trust();
      let bytes = 0;
      for await (const piece of request) bytes += piece.length;
      response.end(String(bytes));
    });
    const session = http2Client(port);
    const answers = await Promise.all(Array.from({ length: 32 }, () => ask(session, {}, Buffer.alloc(250_000))));
    expect(answers.map(({ body }) => body)).toEqual(Array(32).fill("250000"));
    expect(most).toBeGreaterThan(0);
    expect(refusals).toEqual([]);
  });

  it("may be refused, again and again, on one connection", async () => {
    const { port, refusals } = await start(async (_request, response) => {
      await sleep(50);
      response.writeHead(401).end();
    });
    const session = http2Client(port);
    for (let round = 0; round < 5; round += 1) {
      const answers = await Promise.all(Array.from({ length: 16 }, () => ask(session, {}, Buffer.alloc(250_000))));
      expect(answers.map(({ status }) => status)).toEqual(Array(16).fill(401));
    }
    expect(refusals).toEqual([]);
  });

  it("may open all its streams at once on a connection that is new", async () => {
    const { port, refusals } = await start(async (request, response) => {
      await sleep(100);
      peerOf(request).trust();
      request.resume();
      request.on("end", () => response.end("fine"));
    });
    const session = http2Client(port, { peerMaxConcurrentStreams: 256 });
    const answers = await Promise.all(Array.from({ length: 256 }, () => ask(session, {}, "x".repeat(200))));
    expect(answers.filter(({ body }) => body === "fine")).toHaveLength(256);
    expect(refusals).toEqual([]);
  });
});
