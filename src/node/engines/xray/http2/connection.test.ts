import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { constants, createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { createServer as createRawServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Http2Connection } from "./connection.ts";
import { frameFlag, frameOf, frameType } from "./frames.ts";
import { requestHeader } from "./header-block.ts";
import { ConnectionLost } from "./request.ts";

const header = requestHeader("/package.Service/Method");
const timeoutMs = 5_000;
let directory: string;
let path: string;
let connection: Http2Connection;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-http2-"));
  path = join(directory, "server.sock");
});
afterEach(async () => {
  connection.close();
  await connection.closed;
  await rm(directory, { recursive: true });
});

describe("with Node's server", () => {
  let server: Http2Server;
  const sessions = new Set<ServerHttp2Session>();
  let answer: (stream: ServerHttp2Stream, body: Buffer) => void = echo;

  function echo(stream: ServerHttp2Stream, body: Buffer): void {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(body);
  }

  async function listen(options: Parameters<typeof createServer>[0] = {}): Promise<void> {
    answer = echo;
    server = createServer(options);
    server.on("session", (session) => {
      sessions.add(session);
      session.on("error", () => undefined).on("close", () => sessions.delete(session));
    });
    server.on("stream", (stream: ServerHttp2Stream, headers) => {
      expect(headers).toMatchObject({
        ":method": "POST",
        ":scheme": "http",
        ":authority": "localhost",
        ":path": "/package.Service/Method",
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("error", () => undefined);
      buffer(stream).then(
        (body) => answer(stream, body),
        () => undefined,
      );
    });
    server.listen(path);
    await once(server, "listening");
    connection = new Http2Connection(path);
  }

  afterEach(async () => {
    for (const session of sessions) session.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  test.each([
    ["as it is", {}],
    ["with windows of 1,000 bytes", { settings: { initialWindowSize: 1_000 } }],
    ["with two streams at once", { settings: { maxConcurrentStreams: 2 } }],
    ["with padding", { paddingStrategy: constants.PADDING_STRATEGY_MAX }],
  ])("bodies of any length arrive, and so do answers: %s", async (_how, options) => {
    await listen(options);
    const lengths = fc.array(fc.integer({ min: 1, max: 200_000 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(lengths, async (chosen) => {
        const bodies = chosen.map((length) => Buffer.alloc(length, String(length)));
        const answers = await Promise.all(bodies.map((each) => connection.request(header, each, timeoutMs)));
        expect(answers.every((each, index) => each.body.equals(bodies[index] ?? Buffer.alloc(0)))).toBe(true);
        expect(answers.every(({ fields }) => fields.grpcStatus === "0" && fields.status === "200")).toBe(true);
      }),
      { numRuns: 15 },
    );
    expect(sessions.size).toBe(1);
  });

  test("no more streams are open at once than the server allows, from the first one on", async () => {
    await listen({ settings: { maxConcurrentStreams: 3 } });
    let open = 0;
    let most = 0;
    answer = (stream, body) => {
      most = Math.max(most, ++open);
      setTimeout(() => {
        open -= 1;
        echo(stream, body);
      }, 5);
    };
    await Promise.all(Array.from({ length: 20 }, () => connection.request(header, Buffer.from("."), timeoutMs)));
    expect(most).toBe(3);
  });

  test("headers of any content are read, compressed or not", async () => {
    await listen();
    const character = fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code));
    const text = fc.string({ unit: character, minLength: 1, maxLength: 2_000 }).map((value) => `x${value.trim()}x`);
    await fc.assert(
      fc.asyncProperty(text, text, async (message, other) => {
        answer = (stream) =>
          stream.respond({ "grpc-status": "2", "grpc-message": message, other }, { endStream: true });
        const { fields } = await connection.request(header, Buffer.from("."), timeoutMs);
        expect(fields).toEqual({ status: "200", grpcStatus: "2", grpcMessage: message });
      }),
      { numRuns: 100 },
    );
  });

  test("a header that takes several frames is read", async () => {
    await listen();
    const message = "~".repeat(40_000);
    answer = (stream) => stream.respond({ "grpc-status": "2", "grpc-message": message }, { endStream: true });
    const { fields } = await connection.request(header, Buffer.from("."), timeoutMs);
    expect(fields.grpcMessage).toBe(message);
  });

  test("an answer that comes before the body was read ends the request, and others go on", async () => {
    await listen({ settings: { initialWindowSize: 1_000 } });
    server.removeAllListeners("stream");
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.on("error", () => undefined);
      stream.respond({ ":status": 200, "grpc-status": "8" }, { endStream: true });
    });
    const large = Buffer.alloc(1 << 20);
    const answers = await Promise.all([large, large, large].map((body) => connection.request(header, body, timeoutMs)));
    expect(answers.map(({ fields }) => fields.grpcStatus)).toEqual(["8", "8", "8"]);
  });

  test("a request without answer is given up in time, and others go on", async () => {
    await listen();
    const closed = new Promise((resolve) => {
      answer = (stream) => stream.once("close", () => resolve(stream.rstCode));
    });
    await expect(connection.request(header, Buffer.from("."), 30)).rejects.toThrow("did not answer within 30 ms");
    expect(await closed).toBe(constants.NGHTTP2_CANCEL);
    answer = echo;
    const { body } = await connection.request(header, Buffer.from("still here"), timeoutMs);
    expect(body.toString()).toBe("still here");
  });

  test("after a goodbye what was taken is answered, and the rest is told to be untouched", async () => {
    await listen({ settings: { maxConcurrentStreams: 1 } });
    await connection.request(header, Buffer.from("."), timeoutMs);
    answer = (stream, body) => {
      for (const session of sessions) session.close();
      setTimeout(() => echo(stream, body), 20);
    };
    const [first, second] = [
      connection.request(header, Buffer.from("first"), timeoutMs),
      connection.request(header, Buffer.from("second"), timeoutMs),
    ];
    await expect(second).rejects.toMatchObject({ name: "EngineUnreachable", isUntouched: true });
    expect(connection.isUsable).toBe(false);
    expect((await first).body.toString()).toBe("first");
    await connection.closed;
    await expect(connection.request(header, Buffer.from("."), timeoutMs)).rejects.toThrow(ConnectionLost);
  });

  test("a stream that is refused is told to be untouched; one that is reset is not", async () => {
    await listen();
    answer = (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM);
    await expect(connection.request(header, Buffer.from("."), timeoutMs)).rejects.toMatchObject({ isUntouched: true });
    answer = (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    await expect(connection.request(header, Buffer.from("."), timeoutMs)).rejects.toThrow("HTTP/2 error 2");
    answer = echo;
    await connection.request(header, Buffer.from("."), timeoutMs);
  });

  test("a connection that breaks fails what is open, and was perhaps looked at", async () => {
    await listen();
    answer = (stream) => stream.session?.destroy();
    await expect(connection.request(header, Buffer.from("."), timeoutMs)).rejects.toMatchObject({ isUntouched: false });
    expect(connection.isUsable).toBe(false);
  });

  test("a connection that breaks before it was begun leaves requests untouched", async () => {
    await listen();
    server.on("connection", (socket) => socket.destroy());
    await expect(connection.request(header, Buffer.from("."), timeoutMs)).rejects.toMatchObject({ isUntouched: true });
  });

  test("pings are answered", async () => {
    await listen();
    await connection.request(header, Buffer.from("."), timeoutMs);
    const [session] = sessions;
    const echoed = new Promise((resolve) => session?.ping(Buffer.from("8 bytes!"), (_e, _ms, bytes) => resolve(bytes)));
    expect(await echoed).toEqual(Buffer.from("8 bytes!"));
  });

  test("answers of more than any window arrive", async () => {
    await listen();
    const size = 40 << 20;
    answer = (stream) => echo(stream, Buffer.alloc(size, "x"));
    for (let count = 0; count < 2; count += 1) {
      const { body } = await connection.request(header, Buffer.from("."), 30_000);
      expect(body.length).toBe(size);
    }
  });
});

describe("with a server that says what it is told to", () => {
  let server: Server;
  let sockets: Socket[];
  const nothing = Buffer.alloc(0);
  const settings = frameOf(frameType.settings, 0, 0, nothing);
  const ok = Buffer.concat([Buffer.of(0x88), literal("grpc-status", "0")]);

  /** A field in plain text that is to be indexed. */
  function literal(name: string, value: string): Buffer {
    return Buffer.concat([
      Buffer.of(0x40, name.length),
      Buffer.from(name),
      Buffer.of(value.length),
      Buffer.from(value),
    ]);
  }

  async function say(...pieces: Buffer[]): Promise<void> {
    sockets = [];
    server = createRawServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => undefined);
      socket.once("data", async () => {
        for (const piece of pieces) {
          socket.write(piece);
          await new Promise(setImmediate);
        }
      });
    }).listen(path);
    await once(server, "listening");
    connection = new Http2Connection(path);
  }

  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await once(server.close(), "close");
  });

  const request = () => connection.request(header, Buffer.from("body"), 1_000);
  const { endHeaders, endStream, padded, priority } = frameFlag;

  test("frames are read however they are cut", async () => {
    const data = frameOf(frameType.data, padded, 1, Buffer.from("\x03hello+++"));
    const head = frameOf(
      frameType.headers,
      endHeaders | priority,
      1,
      Buffer.concat([Buffer.alloc(5), Buffer.of(0x88)]),
    );
    const tail = frameOf(frameType.headers, endHeaders | endStream, 1, literal("grpc-status", "0"));
    const unknown = frameOf(77, 255, 3, Buffer.from("nobody knows this type"));
    const all = Buffer.concat([settings, unknown, head, data, tail]);
    await say(...Array.from(all, (byte) => Buffer.of(byte)));
    const { fields, body } = await request();
    expect([fields, body.toString()]).toEqual([{ status: "200", grpcStatus: "0" }, "hello"]);
  });

  test("a header that goes on in other frames is read", async () => {
    const parts = Array.from(ok, (byte) => Buffer.of(byte));
    const frames = parts
      .slice(0, 8)
      .map((part, index) =>
        frameOf(index === 0 ? frameType.headers : frameType.continuation, index === 0 ? endStream : 0, 1, part),
      );
    await say(settings, ...frames, frameOf(frameType.continuation, endHeaders, 1, ok.subarray(8)));
    expect((await request()).fields).toEqual({ status: "200", grpcStatus: "0" });
  });

  const headers = (block: Buffer) => frameOf(frameType.headers, endHeaders | endStream, 1, block);
  test.each<[string, Buffer]>([
    ["a frame that is too large", Buffer.from("ffffff000000000001", "hex")],
    ["a push", frameOf(frameType.pushPromise, endHeaders, 1, Buffer.from([0, 0, 0, 2]))],
    ["more padding than payload", frameOf(frameType.data, padded, 1, Buffer.of(200, 1))],
    ["the rest of a header that is not open", frameOf(frameType.continuation, endHeaders, 1, ok)],
    ["a cut header", Buffer.concat([frameOf(frameType.headers, 0, 1, ok), settings])],
    ["an entry of a header table that is empty", headers(Buffer.of(0xbe))],
    ["an entry without a number", headers(Buffer.of(0x80))],
    ["a header table that is not wanted", headers(Buffer.of(0x3f, 0x01))],
    ["a header that is cut", headers(Buffer.of(0x00, 0x05, 0x61))],
    ["a number that is too large", headers(Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01))],
    ["a malformed compressed string", headers(Buffer.of(0x00, 0x84, 0xff, 0xff, 0xff, 0xff))],
    ["a window that is too large", frameOf(frameType.windowUpdate, 0, 0, Buffer.from("7fffffff", "hex"))],
    ["a window that grows by nothing", frameOf(frameType.windowUpdate, 0, 0, Buffer.alloc(4))],
    ["a window that is too large", frameOf(frameType.settings, 0, 0, Buffer.from("0004ffffffff", "hex"))],
  ])("%s ends the connection", async (what, bytes) => {
    await say(settings, bytes);
    await expect(request()).rejects.toThrow(`xray's API does not speak HTTP/2: ${what}`);
    await connection.closed;
    expect(connection.isUsable).toBe(false);
  });

  test("whatever comes, every request ends", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 20 }), async (payloads) => {
        const types = Object.values(frameType);
        const frames = payloads.map((payload, index) =>
          frameOf(types[index % types.length] ?? 0, payload[0] ?? 0, index % 3, payload.subarray(1)),
        );
        await say(settings, ...frames);
        const calls = [request(), request(), request()];
        for (const socket of sockets) socket.end();
        setTimeout(() => connection.close(), 10);
        await Promise.allSettled(calls);
        await connection.closed;
        for (const socket of sockets) socket.destroy();
        await once(server.close(), "close");
      }),
      { numRuns: 50 },
    );
    await say();
  });
});
