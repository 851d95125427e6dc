import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, expect, it } from "vitest";
import { peerOf } from "../../src/platform/listener/listener.ts";
import { frame, http2Hello } from "./frames.ts";
import { ask, ends, type Handler, http2Client, open, pair, start } from "./support.ts";

/** Answers with what it knows about the request. */
const echo: Handler = (request, response) => {
  const { address, secure } = peerOf(request);
  let body = "";
  request.on("data", (chunk) => {
    body += chunk;
  });
  request.on("end", () => {
    response.end(JSON.stringify({ http: request.httpVersion, path: request.url, address, secure, body }));
  });
};

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const tls = { pair };

describe.each([
  ["a plain port", undefined],
  ["a TLS port", tls],
])("%s", (_name, tls) => {
  const secure = tls !== undefined;
  const startHere = () => start(echo, { ...(tls && { tls }) });

  it("serves HTTP/1.1 and knows the peer", async () => {
    const { port } = await startHere();
    const line = await open(port, secure ? {} : undefined);
    line.write(get("/a"));
    const text = await line.until(/\}$/);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(text).toContain(JSON.stringify({ http: "1.1", path: "/a", address: "127.0.0.1", secure, body: "" }));
  });

  it("serves HTTP/2 and knows the peer", async () => {
    const { port } = await startHere();
    const { status, body } = await ask(http2Client(port, { secure }), { ":path": "/b" }, "sent");
    expect(status).toBe(200);
    expect(JSON.parse(body)).toEqual({ http: "2.0", path: "/b", address: "127.0.0.1", secure, body: "sent" });
  });

  it("understands a request that comes one byte at a time", async () => {
    const { port } = await startHere();
    const line = await open(port, secure ? {} : undefined);
    for (const byte of "POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi") {
      line.write(byte);
      await new Promise(setImmediate);
    }
    expect(await line.until(/\}$/)).toContain('"path":"/c"');
  });

  it.each([
    [["P", "O", "ST /d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"]],
    [["PR", "OPFIND /d HTTP/1.1\r\nHost: x\r\n\r\n"]],
    [["\r\n", get("/d")]],
  ])("tells HTTP/1.1 from HTTP/2 in the pieces %j", async (pieces) => {
    const { port } = await startHere();
    const line = await open(port, secure ? {} : undefined);
    for (const piece of pieces) {
      line.write(piece);
      await new Promise((done) => setTimeout(done, 20));
    }
    expect(await line.until(/\}$/)).toContain('"path":"/d"');
  });

  it.each([1, 2, 3, 16, 23, 30])("understands an HTTP/2 preface that is split after byte %i", async (at) => {
    const { port } = await startHere();
    const line = await open(port, secure ? { ALPNProtocols: ["h2"] } : undefined);
    line.write(http2Hello.subarray(0, at));
    await new Promise((done) => setTimeout(done, 20));
    line.write(http2Hello.subarray(at));
    const acknowledged = frame(4, 1, 0).toString("latin1");
    expect(await line.until(acknowledged)).toContain(acknowledged);
  });

  it("answers pipelined requests in their order", async () => {
    const { port } = await startHere();
    const line = await open(port, secure ? {} : undefined);
    line.write(Array.from({ length: 100 }, (_, i) => get(`/${i}`)).join(""));
    const text = await line.until(/"path":"\/99"/);
    const paths = [...text.matchAll(/"path":"\/(\d+)"/g)].map(([, path]) => Number(path));
    expect(paths).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  it.each([
    ["zeros", Buffer.alloc(100)],
    ["0xff", Buffer.alloc(100, 0xff)],
    ["text", Buffer.from("hello?\r\n\r\n")],
    ["a request of HTTP/9", Buffer.from("GET / HTTP/9.9\r\n\r\n")],
    ["an impossible header", Buffer.from("GET / HTTP/1.1\r\nHost: x\r\nbad header\x00: 1\r\n\r\n")],
    ["two lengths", Buffer.from("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")],
    [
      "a length and chunks",
      Buffer.from("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
    ["no host", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ])("answers garbage (%s) with 400, closes, and serves on", async (_kind, bytes) => {
    const { port } = await startHere();
    const line = await open(port, secure ? {} : undefined);
    line.write(bytes);
    await line.closed();
    expect(line.text()).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect((await ask(http2Client(port, { secure }))).status).toBe(200);
  });

  it.each([
    ["another preface", Buffer.from("PRI * HTTP/3.0\r\n\r\nSM\r\n\r\n")],
    ["no settings first", Buffer.concat([http2Hello.subarray(0, 24), frame(6, 0, 0, Buffer.alloc(8))])],
    ["a frame that is too large", Buffer.concat([http2Hello, Buffer.from([0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1])])],
    ["data on a stream that is none", Buffer.concat([http2Hello, frame(0, 0, 7, Buffer.from("x"))])],
    ["headers that do not decode", Buffer.concat([http2Hello, frame(1, 5, 1, Buffer.alloc(20, 0xff))])],
    ["noise", Buffer.concat([http2Hello, Buffer.alloc(1_000, "noise")])],
  ])("ends HTTP/2 that is none (%s) and serves on", async (_kind, bytes) => {
    const { port } = await startHere();
    const line = await open(port, secure ? { ALPNProtocols: ["h2"] } : undefined);
    line.write(bytes);
    await line.closed();
    expect((await ask(http2Client(port, { secure }))).status).toBe(200);
  });

  it("refuses CONNECT over HTTP/1.1", async () => {
    const { port } = await startHere();
    const line = await open(port, secure ? {} : undefined);
    line.write("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n");
    await line.closed();
    expect(line.text()).toMatch(/^HTTP\/1\.1 405 /);
  });

  it("goes on with HTTP/1.1 when a client asks to upgrade", async () => {
    const { port } = await startHere();
    const line = await open(port, secure ? {} : undefined);
    line.write(
      "GET /u HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    );
    expect(await line.until(/\}$/)).toContain('"path":"/u"');
  });

  it("survives clients that leave at every point of the way", async () => {
    const { port } = await startHere();
    for (const bytes of [
      "",
      "P",
      "PRI",
      get("/").slice(0, 10),
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhi",
    ]) {
      const line = await open(port, secure ? {} : undefined);
      line.write(bytes);
      await new Promise((done) => setTimeout(done, 10));
      line.close();
    }
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", () => undefined);
    socket.write(Buffer.from([0x16, 3, 1]), () => socket.resetAndDestroy());
    expect((await ask(http2Client(port, { secure }))).status).toBe(200);
  });
});

describe("TLS", () => {
  it.each([
    [["h2"], "h2"],
    [["http/1.1"], "http/1.1"],
    [["h2", "http/1.1"], "h2"],
    [["http/1.1", "h2"], "h2"],
    [["grpc-exp", "h2"], "h2"],
    [undefined, false],
  ])("of what a client offers, %j, answers %s, and the client speaks what it likes", async (offered, chosen) => {
    const { port } = await start(echo, { tls });
    const options = offered === undefined ? {} : { ALPNProtocols: offered };
    const http1 = await open(port, options);
    expect("alpnProtocol" in http1.socket && http1.socket.alpnProtocol).toBe(chosen);
    http1.write(get("/x"));
    expect(await http1.until(/\}$/)).toContain('"http":"1.1"');

    const socket = connectTls({ port, host: "127.0.0.1", ca: pair.cert, ...options });
    const session = connectHttp2(`https://127.0.0.1:${port}`, { createConnection: () => socket });
    ends({ close: () => session.destroy() });
    expect(JSON.parse((await ask(session)).body)).toMatchObject({ http: "2.0", secure: true });
  });

  it("fails the handshake, and says why, when there is no protocol in common", async () => {
    const { port } = await start(echo, { tls });
    await expect(open(port, { ALPNProtocols: ["spdy/3"] })).rejects.toMatchObject({
      code: "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    });
    await expect(
      open(port, { maxVersion: "TLSv1.1", minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }),
    ).rejects.toThrow();
    expect((await ask(http2Client(port, { secure: true }))).status).toBe(200);
  });

  it.each([
    ["a plain request", get("/"), /^HTTP\/1\.1 400 .*This port speaks TLS: use https\.\n$/s],
    ["plain HTTP/2", http2Hello, /(?<!\n)This port speaks TLS: use https\.$/],
    ["garbage", Buffer.alloc(10_000, 7), /This port speaks TLS/],
  ])("answers %s with a word and closes", async (_kind, bytes, answer) => {
    const { port, refusals } = await start(echo, { tls });
    const line = await open(port);
    line.write(bytes);
    expect(await line.until(answer)).toMatch(answer);
    await line.closed();
    expect(refusals).toEqual(["plain text on a TLS port"]);
    expect((await ask(http2Client(port, { secure: true }))).status).toBe(200);
  });

  it("closes on a broken handshake and serves on", async () => {
    const { port } = await start(echo, { tls });
    const line = await open(port);
    line.write(Buffer.concat([Buffer.from([0x16, 3, 1, 0, 200]), Buffer.alloc(200, 9)]));
    await line.closed();
    expect((await ask(http2Client(port, { secure: true }))).status).toBe(200);
  });
});

describe("a plain port", () => {
  it("answers a TLS hello with words that TLS clients recognise, and serves on", async () => {
    const { port, refusals } = await start(echo);
    await expect(open(port, {})).rejects.toMatchObject({ code: "ERR_SSL_WRONG_VERSION_NUMBER" });
    const line = await open(port);
    line.write(Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]));
    await line.closed();
    expect(line.text()).toMatch(/^HTTP\/1\.1 400 .*This port does not speak TLS: use http\.\n$/s);
    expect(refusals).toEqual(["TLS on a plain port", "TLS on a plain port"]);
    expect((await ask(http2Client(port))).status).toBe(200);
  });
});

describe("early handlers", () => {
  it("get what they ask for, and the framework the rest", async () => {
    const { port } = await start(echo, {
      early: {
        stream: (stream, headers) => {
          if (headers[":path"] !== "/early") return false;
          stream.respond({ ":status": 201 });
          stream.end(JSON.stringify(peerOf(stream).address));
          return true;
        },
        request: (request, response) => {
          if (request.url !== "/early") return false;
          response.writeHead(201).end(JSON.stringify(peerOf(request).address));
          return true;
        },
      },
    });
    const session = http2Client(port);
    expect(await ask(session, { ":path": "/early" })).toMatchObject({ status: 201, body: '"127.0.0.1"' });
    expect(await ask(session, { ":path": "/late" })).toMatchObject({ status: 200 });
    const line = await open(port);
    line.write(get("/early"));
    await line.until(/201 Created.*"127\.0\.0\.1"/s);
    line.write(get("/late"));
    await line.until(/200 OK/);
  });

  it("may leave a stream that its client resets: the process goes on", async () => {
    const { port } = await start(echo, { early: { stream: (_stream, headers) => headers[":path"] === "/never" } });
    const session = http2Client(port);
    const stream = session.request({ ":path": "/never", ":method": "POST" });
    stream.on("error", () => undefined);
    await new Promise((done) => setTimeout(done, 50));
    stream.close(2);
    expect((await ask(session)).status).toBe(200);
  });
});

it("serves one handler", async () => {
  const { listener } = await start(echo);
  expect(() => listener.serve(() => undefined)).toThrow("the listener serves already");
});
