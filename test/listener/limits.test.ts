import { once } from "node:events";
import type { ClientHttp2Session } from "node:http2";
import { describe, expect, it } from "vitest";
import { peerOf } from "../../src/platform/listener/listener.ts";
import { frame, http2Hello, postHead } from "./frames.ts";
import { ask, type Handler, http2Client, open, pair, sleep, start } from "./support.ts";

/** Trusts who comes with a key; answers once the body is read. A path of `/slow` is answered when it pleases. */
const handler: Handler = (request, response) => {
  if (request.headers.authorization !== undefined) peerOf(request).trust();
  if (request.url === "/slow") return;
  if (request.url === "/stream") response.write("begun");
  request.resume();
  request.on("end", () => response.end("done"));
};

const shortLimits = {
  firstHeadTimeoutMs: 300,
  bodyStallTimeoutMs: 300,
  untrustedIdleTimeoutMs: 300,
  untrustedRequestTimeoutMs: 900,
  http1IdleTimeoutMs: 900,
  http2IdleTimeoutMs: 900,
};
const tls = { pair };
const key = "Authorization: Bearer x\r\n";
const get = (headers = "") => `GET / HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;

function post(length: number, path = "/", headers = "") {
  return `POST ${path} HTTP/1.1\r\nHost: x\r\n${headers}Content-Length: ${length}\r\n\r\n`;
}

/** When the session's connection is gone, in milliseconds from now. */
async function goneAfter(session: ClientHttp2Session): Promise<number> {
  const begin = performance.now();
  if (!session.destroyed) await new Promise((resolve) => session.once("close", resolve));
  return performance.now() - begin;
}

describe("a connection without a first complete request head is closed in time", () => {
  it.each([
    ["silence", undefined, []],
    ["half a method", undefined, ["P"]],
    ["half a preface", undefined, ["PRI * HTTP"]],
    ["a preface and no more", undefined, [http2Hello]],
    ["PINGs and no request", undefined, [http2Hello, ...Array<Buffer>(9).fill(frame(6, 0, 0, Buffer.alloc(8)))]],
    ["a head that drips", undefined, [..."GET / HTTP/1.1\r\nHo"]],
    ["fields that go on for ever", undefined, ["GET / HTTP/1.1\r\n", ...Array<string>(12).fill("X: y\r\n")]],
    [
      "HTTP/2 headers that never end",
      undefined,
      [http2Hello, frame(1, 0, 1, postHead(1).subarray(9)), frame(9, 0, 1, Buffer.from([0x0f]))],
    ],
    ["half a TLS hello", tls, [Buffer.from([0x16, 3, 1, 0, 200, 1])]],
    [
      "a TLS hello that drips",
      tls,
      Array.from(Buffer.from([0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3]), (byte) => Buffer.of(byte)),
    ],
    ["silence", tls, []],
  ])("%s (TLS: %o)", async (_kind, tls, pieces) => {
    const { port, refusals } = await start(handler, { limits: shortLimits, ...(tls && { tls }) });
    const line = await open(port);
    for (const piece of pieces) {
      line.write(piece);
      await sleep(20);
    }
    expect(await line.closed()).toSatisfy((ms: number) => ms >= 290 && ms < 1_500);
    expect(refusals.every((reason) => reason === "no complete request head came in time")).toBe(true);
    expect((await ask(http2Client(port, { secure: tls !== undefined }))).status).toBe(200);
  });

  it("after a TLS handshake too, and the two share one time", async () => {
    const { port } = await start(handler, { limits: shortLimits, tls });
    const line = await open(port, { ALPNProtocols: ["h2"] });
    line.write(http2Hello);
    expect(await line.closed()).toBeLessThan(1_000);
  });

  it("an HTTP/1.1 client is told so", async () => {
    const { port } = await start(handler, { limits: shortLimits });
    const line = await open(port);
    line.write("GET / HT");
    await line.closed();
    expect(line.text()).toMatch(/^HTTP\/1\.1 408 Request Timeout\r\nConnection: close\r\n/);
  });

  it("a second head that drips ends a trusted connection as well", async () => {
    const { port } = await start(handler, { limits: shortLimits });
    const line = await open(port);
    line.write(get(key));
    await line.until("done");
    for (const byte of get(key).slice(0, 14)) {
      line.write(byte);
      await sleep(30);
    }
    await line.closed();
    expect(line.text()).toContain("HTTP/1.1 408 ");
  });
});

describe("a body without progress", () => {
  it.each([
    ["nobody in particular", ""],
    ["someone with a key", key],
  ])("ends a connection of HTTP/1.1 of %s", async (_who, headers) => {
    const { port } = await start(handler, { limits: { ...shortLimits, untrustedRequestTimeoutMs: 5_000 } });
    const line = await open(port);
    line.write(`${post(100, "/", headers)}some`);
    expect(await line.closed()).toBeLessThan(1_000);
    expect(line.text()).toContain("408 Request Timeout");
    expect(line.text()).toContain("the request body does not go on");
  });

  it.each([[{}], [{ authorization: "Bearer x" }]])(
    "ends a stream of HTTP/2, and not its connection: %o",
    async (headers) => {
      const { port } = await start(handler, { limits: { ...shortLimits, untrustedRequestTimeoutMs: 5_000 } });
      const session = http2Client(port);
      const stream = session.request({ ":method": "POST", ":path": "/", ...headers });
      stream.write("some");
      stream.on("error", () => undefined);
      const begin = performance.now();
      await once(stream, "close");
      expect(performance.now() - begin).toSatisfy((ms: number) => ms >= 290 && ms < 1_000);
      expect(stream.rstCode).toBe(8);
      expect((await ask(session)).status).toBe(200);
    },
  );

  it("may take its time as long as it goes on", async () => {
    const { port } = await start(handler, { limits: shortLimits });
    const line = await open(port);
    line.write(post(10, "/", key));
    const stream = http2Client(port).request({ ":method": "POST", ":path": "/", authorization: "Bearer x" });
    const response = once(stream, "response");
    for (let i = 0; i < 10; i += 1) {
      await sleep(100);
      line.write("x");
      stream.write("x");
    }
    stream.end();
    await line.until("done");
    expect((await response)[0][":status"]).toBe(200);
  });

  it("is no fault of a caller who listens to an answer that has begun, or waits for one", async () => {
    const { port } = await start(handler, { limits: shortLimits });
    const session = http2Client(port);
    const stream = session.request({ ":method": "POST", ":path": "/stream", authorization: "Bearer x" });
    stream.write("some");
    const line = await open(port);
    line.write(`${post(4, "/slow", key)}full`);
    const other = await open(port);
    other.write(`${post(100, "/stream", key)}some`);
    await sleep(1_000);
    expect(stream.closed).toBe(false);
    stream.end();
    await once(stream.resume(), "end");
    expect(line.socket.destroyed).toBe(false);
    other.write("x".repeat(96));
    await other.until("done");
  });
});

describe("an idle connection", () => {
  it("is closed soon when nobody has vouched for it", async () => {
    const { port } = await start(handler, { limits: shortLimits });
    const line = await open(port);
    line.write(get());
    await line.until("done");
    const session = http2Client(port);
    await ask(session);
    expect(await goneAfter(session)).toBeLessThan(1_000);
    expect(await line.closed()).toBeLessThan(1_000);
    expect(line.text()).not.toContain("408");
  });

  it("is kept for a caller with a key", async () => {
    const { port } = await start(handler, { limits: shortLimits });
    const line = await open(port);
    line.write(get(key));
    await line.until("done");
    const session = http2Client(port);
    await ask(session, { authorization: "Bearer x" });
    const [http1, http2] = await Promise.all([line.closed(), goneAfter(session)]);
    // Node adds a second to what it promises an HTTP/1.1 client, so that a request on its way still arrives.
    expect(http1).toSatisfy((ms: number) => ms >= 900 && ms < 3_000);
    expect(http2).toSatisfy((ms: number) => ms >= 900 && ms < 2_000);
  });

  it("lives on PINGs, and is closed gracefully without", async () => {
    const { port } = await start(handler, { limits: shortLimits });
    const session = http2Client(port);
    await ask(session, { authorization: "Bearer x" });
    let code: number | undefined;
    session.on("goaway", (reason) => {
      code = reason;
    });
    for (let i = 0; i < 7; i += 1) {
      await sleep(250);
      session.ping(() => undefined);
    }
    expect(session.destroyed).toBe(false);
    expect((await ask(session)).status).toBe(200);
    await goneAfter(session);
    expect(code).toBe(0);
  });

  it("is none when an answer is still to come", async () => {
    const { port } = await start(handler, {
      limits: { ...shortLimits, http2IdleTimeoutMs: 300, http1IdleTimeoutMs: 300 },
    });
    const stream = http2Client(port).request({ ":method": "POST", ":path": "/stream", authorization: "Bearer x" });
    stream.setEncoding("utf8");
    const line = await open(port);
    line.write(`GET /slow HTTP/1.1\r\nHost: x\r\n${key}\r\n`);
    await sleep(1_500);
    expect(line.socket.destroyed).toBe(false);
    stream.end();
    const text = await stream.toArray();
    expect(text.join("")).toBe("begundone");
  });
});

describe("without a key", () => {
  it.each([
    [
      "HTTP/1.1",
      async (port: number) => {
        const line = await open(port);
        line.write("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n");
        return line.closed();
      },
    ],
    [
      "HTTP/2",
      async (port: number) => {
        const session = http2Client(port);
        session.request({ ":path": "/slow" }).on("error", () => undefined);
        return goneAfter(session);
      },
    ],
  ])("a call over %s has its time in total", async (_version, call) => {
    const { port, refusals } = await start(handler, { limits: shortLimits });
    expect(await call(port)).toSatisfy((ms: number) => ms >= 800 && ms < 2_500);
    expect(refusals).toEqual(["the request took too long"]);
  });

  it("an answer that is never taken ends its connection", async () => {
    const { port } = await start((_request, response) => response.end("no".repeat(100_000)), { limits: shortLimits });
    const session = http2Client(port, { settings: { initialWindowSize: 0 } });
    session.request({ ":path": "/" }).on("error", () => undefined);
    expect(await goneAfter(session)).toBeLessThan(2_500);
  });

  it("the oldest of too many connections gives way to the newest", async () => {
    const { port, refusals } = await start(handler, { limits: { maxUntrustedConnections: 3 } });
    const trusted = await open(port);
    trusted.write(get(key));
    await trusted.until("done");
    const lines = [];
    for (let i = 0; i < 5; i += 1) {
      lines.push(await open(port));
      await sleep(10);
    }
    await Promise.all(lines.slice(0, 2).map((line) => line.closed()));
    expect(lines.slice(2).map(({ socket }) => socket.destroyed)).toEqual([false, false, false]);
    trusted.write(get(key));
    await trusted.until(/done.*done/s);
    expect(refusals).toEqual(Array(2).fill("too many connections without a credential"));
  });
});

describe("a request head that is too large", () => {
  it.each([
    ["many fields", Array.from({ length: 400 }, (_, i) => `X-${i}: ${"y".repeat(40)}\r\n`).join("")],
    ["one field", `X: ${"y".repeat(17_000)}\r\n`],
  ])("is refused over HTTP/1.1: %s", async (_kind, fields) => {
    const { port } = await start(handler);
    const line = await open(port);
    line.write(get(fields));
    await line.closed();
    expect(line.text()).toMatch(/^HTTP\/1\.1 431 /);
    const other = await open(port);
    other.write(`GET /${"a".repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await other.closed();
    expect(other.text()).toMatch(/^HTTP\/1\.1 431 /);
  });

  it("is refused over HTTP/2, before the settings are acknowledged and after", async () => {
    const { port } = await start(handler);
    const session = http2Client(port);
    const large = { "x-large": "y".repeat(17_000) };
    const [first, fine] = await Promise.all([ask(session, large), ask(session, { authorization: "Bearer x" })]);
    expect([first.status, fine.status]).toEqual([431, 200]);
    const later = await ask(session, large);
    expect(later.status).not.toBe(200);
    expect(await ask(session)).toMatchObject({ status: 200 });
    const many = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`x-${i}`, "y".repeat(20)]));
    expect((await ask(session, many)).status).not.toBe(200);
    expect(await ask(session)).toMatchObject({ status: 200 });
  });

  it("of just under the limit is served", async () => {
    const { port } = await start(handler);
    const line = await open(port);
    line.write(get(`X: ${"y".repeat(15_500)}\r\n`));
    await line.until("200 OK");
    expect((await ask(http2Client(port), { "x-large": "y".repeat(15_500) })).status).toBe(200);
  });
});

it("streams of a connection are limited, and that is said at the start", async () => {
  const { port } = await start(handler);
  const session = http2Client(port);
  await once(session, "remoteSettings");
  expect(session.remoteSettings).toMatchObject({
    maxConcurrentStreams: 256,
    initialWindowSize: 256 * 1024,
    maxHeaderListSize: 16 * 1024,
  });
});

it("resets in a storm end the connection, and the service goes on", async () => {
  const { port } = await start(handler);
  const session = http2Client(port);
  for (let i = 0; i < 5_000 && !session.destroyed; i += 1) {
    const stream = session.request({ ":path": "/slow" });
    stream.on("error", () => undefined);
    stream.close(8);
    if (i % 50 === 0) await sleep(1);
  }
  expect(await goneAfter(session)).toBeLessThan(2_000);
  expect((await ask(http2Client(port))).status).toBe(200);
});
