import { spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import fastify from "fastify";
import { describe, expect, it } from "vitest";
import { createListener, peerOf } from "../../src/platform/listener/listener.ts";
import { frame, http2Hello, postHead } from "./frames.ts";
import { ask, ends, type Handler, http2Client, open, pair, start } from "./support.ts";

/** Answers `/slow` after half a second, `/never` never, and everything else at once. */
const handler: Handler = (request, response) => {
  if (request.headers.authorization !== undefined) peerOf(request).trust();
  if (request.url === "/slow") setTimeout(() => response.end("done"), 500);
  else if (request.url !== "/never") response.end("done");
};

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: x\r\n\r\n`;

describe.each([
  ["plain", undefined],
  ["TLS", { pair }],
])("closing, %s", (_name, tls) => {
  const secure = tls !== undefined;
  const startHere = (closeTimeoutMs = 5_000) => start(handler, { ...(tls && { tls }), limits: { closeTimeoutMs } });

  it("closes what is idle, half-open or half-spoken at once", async () => {
    const { port, close } = await startHere();
    const idle = await open(port, secure ? {} : undefined);
    idle.write(get("/"));
    await idle.until("done");
    const session = http2Client(port, { secure });
    await ask(session, { authorization: "x" });
    const silent = await open(port);
    const halfWord = await open(port, secure ? {} : undefined);
    halfWord.write("P");
    const halfHead = await open(port, secure ? {} : undefined);
    halfHead.write("GET / HTTP/1.1\r\nHo");
    await sleep(50);
    expect(await close()).toBeLessThan(1_000);
    await Promise.all([idle, silent, halfWord, halfHead].map((line) => line.closed()));
    if (!session.destroyed) await once(session, "close");
  });

  it("lets calls that are open finish, and takes no others", async () => {
    const { port, close } = await startHere();
    const line = await open(port, secure ? {} : undefined);
    line.write(get("/slow"));
    const session = http2Client(port, { secure });
    const goneAway = once(session, "goaway");
    const slow = ask(session, { ":path": "/slow", authorization: "x" });
    await sleep(100);
    const closing = close();
    expect((await goneAway)[0]).toBe(0);
    await expect(open(port)).rejects.toMatchObject({ code: "ECONNREFUSED" });
    expect(await slow).toMatchObject({ status: 200, body: "done", code: 0 });
    await line.until("done");
    expect(await closing).toSatisfy((ms: number) => ms >= 200 && ms < 3_000);
  });

  it("cuts what does not finish in time", async () => {
    const { port, close } = await startHere(600);
    const line = await open(port, secure ? {} : undefined);
    line.write(get("/never"));
    const session = http2Client(port, { secure });
    session.request({ ":path": "/never", authorization: "x" }).on("error", () => undefined);
    await sleep(100);
    expect(await close()).toSatisfy((ms: number) => ms >= 590 && ms < 1_200);
    await line.closed();
  });

  it("is not held up by a client that keeps asking", async () => {
    const { port, close } = await startHere();
    const line = await open(port, secure ? {} : undefined);
    const ticker = setInterval(() => line.write(get("/")), 5);
    await line.until("done");
    expect(await close()).toBeLessThan(1_500);
    clearInterval(ticker);
  });

  it("is not held up by a client that does not hang up", async () => {
    const { port, close } = await startHere();
    const tls = secure ? { ALPNProtocols: ["h2"] } : undefined;
    const http2 = await open(port, tls, { allowHalfOpen: true });
    http2.write(Buffer.concat([http2Hello, postHead(1)]));
    await http2.until(frame(4, 1, 0).toString("latin1"));
    const http1 = await open(port, tls, { allowHalfOpen: true });
    http1.write(get("/"));
    await http1.until("done");
    expect(await close()).toBeLessThan(2_000);
  });
});

describe("Fastify", () => {
  it("serves on the listener and closes it", async () => {
    const listener = createListener({});
    const app = fastify({ serverFactory: (handle) => listener.serve(handle as Parameters<typeof listener.serve>[0]) });
    app.get("/hello", async (request) => ({ http: request.raw.httpVersion }));
    app.post("/echo", async (request) => request.body);
    await app.listen({ host: "127.0.0.1", port: 0 });
    ends({ close: () => app.close() });
    const port = (app.server.address() as AddressInfo).port;

    const line = await open(port);
    line.write(get("/hello"));
    await line.until('{"http":"1.1"}');
    const session = http2Client(port);
    expect(await ask(session, { ":path": "/hello" })).toMatchObject({ status: 200, body: '{"http":"2.0"}' });
    const json = { ":path": "/echo", "content-type": "application/json" };
    expect(await ask(session, json, '{"a":1}')).toMatchObject({ status: 200, body: '{"a":1}' });
    const begin = performance.now();
    await app.close();
    expect(performance.now() - begin).toBeLessThan(1_000);
  });

  it("learns that a port is taken", async () => {
    const { port } = await start(handler);
    const listener = createListener({});
    const app = fastify({ serverFactory: (handle) => listener.serve(handle as Parameters<typeof listener.serve>[0]) });
    await expect(app.listen({ host: "127.0.0.1", port })).rejects.toMatchObject({ code: "EADDRINUSE" });
    await app.close();
  });
});

it.each(["listened", "never listened"])(
  "a process whose listener has %s and is closed ends by itself",
  async (listened) => {
    const program = `
    import { createListener } from ${JSON.stringify(new URL("../../src/platform/listener/listener.ts", import.meta.url).href)};
    import { connect } from "node:net";
    const server = createListener({}).serve(() => undefined);
    const close = () => server.close(() => console.log("closed"));
    if (${JSON.stringify(listened)} !== "listened") close();
    else server.listen(0, "127.0.0.1", () => {
      const client = connect(server.address().port, "127.0.0.1", () => client.write("POST / HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 9\\r\\n\\r\\n", close));
      client.on("error", () => undefined);
    });
    process.on("exit", () => console.log(Math.round(performance.now())));
  `;
    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", program]);
    ends({ close: () => child.kill("SIGKILL") });
    let text = "";
    child.stdout.on("data", (chunk) => {
      text += chunk;
    });
    child.stderr.pipe(process.stderr);
    const [code] = await once(child, "exit");
    expect(code).toBe(0);
    expect(text).toContain("closed");
  },
);
