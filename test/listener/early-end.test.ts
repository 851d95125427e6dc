import { once } from "node:events";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { Http1Request } from "../../src/platform/listener/http1-body.ts";
import { type EarlyHandlers, peerOf } from "../../src/platform/listener/listener.ts";
import { frame, http2Hello, postHead } from "./frames.ts";
import { ask, type Handler, http2Client, open, start } from "./support.ts";

// Handlers that stop reading before a body ends: the RPC framework does so for a message over its limit, an
// implementation that throws in the middle of an upload, and a gate that refuses.

const limit = 1_000;

/** What the RPC framework does: it reads pieces until it has had enough, and leaves the loop. */
const handler: Handler = async (request, response) => {
  if (request.headers.authorization !== undefined) peerOf(request).trust();
  const answer = (status: number, text: string) => {
    response.writeHead(status, { "content-type": "text/plain" });
    if (request.headers.slowly === undefined) response.end(text);
    else setTimeout(() => response.end(text), 50);
  };
  if (request.url === "/refused") return answer(401, "refused");
  try {
    let bytes = 0;
    for await (const piece of request) {
      bytes += piece.length;
      if (request.url === "/limit" && bytes > limit) throw new Error("over the limit");
      if (request.url === "/throws") throw new Error("thrown");
    }
    answer(200, `read ${bytes}`);
  } catch (error) {
    answer(413, (error as Error).message);
  }
};

const post = (path: string, length: number) => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`;
const chunked = (path: string) => `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`;
const chunk = (bytes: number) => `${bytes.toString(16)}\r\n${"x".repeat(bytes)}\r\n`;
const cases = [
  ["/limit", "over the limit"],
  ["/throws", "thrown"],
  ["/refused", "refused"],
];

describe.each(cases)("HTTP/1.1, %s", (path, said) => {
  it.each([
    ["much larger than any buffer", 2_000_000],
    ["small", 5_000],
  ])("the next request on the connection is answered, after a body that is %s", async (_size, bytes) => {
    const { port } = await start(handler);
    const line = await open(port);
    for (let i = 1; i <= 3; i += 1) {
      line.write(post(path, bytes));
      for (let sent = 0; sent < bytes; sent += 100_000) line.write("x".repeat(Math.min(100_000, bytes - sent)));
      await line.until(new RegExp(`(${said}.*){${i}}`, "s"));
    }
    line.write(post("/", 5));
    line.write("hello");
    await line.until("read 5");
    expect(line.text()).not.toContain("400 Bad Request");
  });

  it("the rest of a chunked body that comes after the answer is thrown away", async () => {
    const { port } = await start(handler);
    const line = await open(port);
    line.write(`${chunked(path)}${chunk(2_000)}`);
    await line.until(said);
    for (let i = 0; i < 50; i += 1) line.write(chunk(30_000));
    line.write("0\r\n\r\n");
    line.write(post("/", 5));
    line.write("hello");
    await line.until("read 5");
  });

  it("a pipelined request behind the body is answered", async () => {
    const { port } = await start(handler);
    const line = await open(port);
    line.write(`${post(path, 300_000)}${"x".repeat(300_000)}${post("/", 5)}hello`);
    await line.until("read 5");
  });

  it("a rest longer than a refused caller may send closes the connection, but not before the answer was read", async () => {
    const { port } = await start(handler, { limits: { leftoverBytes: 500_000, leftoverBytesPerSecond: 0 } });
    const line = await open(port);
    line.write(`${post(path, 90_000_000)}${"x".repeat(2_000_000)}`);
    await line.until(said);
    expect(await line.closed()).toSatisfy((ms: number) => ms >= 900 && ms < 2_500);
    const next = await open(port);
    next.write(`${post(path, 300_000)}${"x".repeat(300_000)}`);
    await next.until(said);
  });

  it("a rest that never comes closes the connection", async () => {
    const { port } = await start(handler, { limits: { leftoverTimeoutMs: 200 } });
    const line = await open(port);
    line.write(`${post(path, 1_000_000)}${"x".repeat(2_000)}`);
    await line.until(said);
    expect(await line.closed()).toBeLessThan(1_500);
  });
});

describe("HTTP/1.1", () => {
  it("a reader that is still there when the answer leaves gets an error, not an end", async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const { port } = await start(async (request, response) => {
      setTimeout(() => response.writeHead(504).end("too late"), 100);
      try {
        for await (const _piece of request);
        resolve("a clean end");
      } catch (error) {
        resolve(error);
      }
    });
    const line = await open(port);
    line.write(`${chunked("/")}${chunk(10)}`);
    await line.until("too late");
    line.write(`${chunk(10)}0\r\n\r\n`);
    expect(await promise).toEqual(new Error("the request was answered before its body was read"));
    line.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await line.until(/too late.*too late/s);
  });

  it("a reader gets an error when its client leaves in the middle", async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const { port } = await start(async (request) => {
      expect(request).toBeInstanceOf(Http1Request);
      try {
        for await (const _piece of request);
        resolve("a clean end");
      } catch (error) {
        resolve((error as NodeJS.ErrnoException).code);
      }
    });
    const line = await open(port);
    line.write(`${chunked("/")}${chunk(10)}`);
    await sleep(50);
    line.close();
    expect(await promise).toBe("ECONNRESET");
  });

  it("whoever reads by events still gets all of it", async () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    const { port } = await start((request, response) => {
      let bytes = 0;
      request.on("data", (piece) => {
        bytes += piece.length;
      });
      request.on("end", () => resolve(bytes));
      response.end("early");
    });
    const line = await open(port);
    line.write(`${chunked("/")}${chunk(10)}`);
    await line.until("early");
    line.write(`${chunk(10)}0\r\n\r\n`);
    expect(await promise).toBe(20);
  });
});

describe.each(cases)("HTTP/2, %s", (path, said) => {
  it.each([
    ["announced, and comes", { "content-length": 100_000 }, 100_000],
    ["announced, larger than a window, and comes", { "content-length": 3_000_000 }, 3_000_000],
    ["not announced", {}, 3_000_000],
    ["announced, and larger than what is waited for", { "content-length": 6_000_000 }, 6_000_000],
  ])("the answer arrives whole when the body is %s", async (_kind, headers, bytes) => {
    const { port } = await start(handler);
    const session = http2Client(port);
    const answered = await ask(session, { ":path": path, authorization: "Bearer x", ...headers }, Buffer.alloc(bytes));
    expect(answered).toMatchObject({ status: path === "/refused" ? 401 : 413, body: said, code: 0 });
    expect(await ask(session, { ":path": "/" }, "hello")).toMatchObject({ body: "read 5" });
  });

  it("the answer waits for an announced body, but not for ever", async () => {
    const { port } = await start(handler, { limits: { heldAnswerMs: 300 } });
    const session = http2Client(port);
    const stream = session.request({ ":method": "POST", ":path": path, "content-length": 10_000 });
    stream.on("error", () => undefined);
    const begin = performance.now();
    stream.write(Buffer.alloc(2_000));
    const [[head], text] = await Promise.all([once(stream, "response"), stream.setEncoding("utf8").toArray()]);
    expect(head[":status"]).toBeGreaterThan(400);
    expect(text.join("")).toBe(said);
    expect(performance.now() - begin).toSatisfy((ms: number) => ms >= 290 && ms < 1_000);
    expect(stream.rstCode).toBe(0);
  });

  it("the answer leaves as soon as the announced body is there", async () => {
    const { port } = await start(handler, { limits: { heldAnswerMs: 5_000 } });
    const stream = http2Client(port).request({ ":method": "POST", ":path": path, "content-length": 10_000 });
    const begin = performance.now();
    stream.write(Buffer.alloc(2_000));
    await sleep(150);
    expect(stream.readableLength).toBe(0);
    stream.end(Buffer.alloc(8_000));
    const text = await stream.setEncoding("utf8").toArray();
    expect(text.join("")).toBe(said);
    expect(performance.now() - begin).toSatisfy((ms: number) => ms >= 140 && ms < 1_000);
  });

  it("a client that cuts an announced body short at the first sign of an answer has no reason to", async () => {
    const { port } = await start(handler);
    const head = { ":method": "POST", ":path": path, "content-length": 10_000, slowly: "1" };
    const stream = http2Client(port).request(head);
    stream.on("error", () => undefined);
    let answered = false;
    stream.once("response", () => {
      answered = true;
    });
    const text = stream.setEncoding("utf8").toArray();
    for (let sent = 0; sent < 10_000 && !answered; sent += 1_000) {
      stream.write(Buffer.alloc(1_000));
      await sleep(10);
    }
    stream.end();
    expect((await text).join("")).toBe(said);
    expect(stream.rstCode).toBe(0);
  });
});

describe("HTTP/2", () => {
  it("what follows a complete answer is refused with NO_ERROR, after the answer", async () => {
    const { port } = await start(handler);
    const line = await open(port);
    line.write(http2Hello);
    // POST /throws without an end, and one piece of its body.
    const fields = [0x83, 0x86, 0x04, 7, ...Buffer.from("/throws"), 0x01, 1, ...Buffer.from("x")];
    line.write(Buffer.concat([frame(1, 0x4, 1, Buffer.from(fields)), frame(0, 0, 1, Buffer.alloc(10))]));
    const reset = frame(3, 0, 1, Buffer.alloc(4)).toString("latin1");
    const text = await line.until(reset);
    expect(text.indexOf("thrown")).toBeGreaterThan(0);
    expect(text.indexOf("thrown")).toBeLessThan(text.indexOf(reset));
  });

  it("trailers arrive after a body that was not read, over the raw stream too", async () => {
    const { port } = await start(handler, {
      early: {
        stream: (stream) => {
          stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "8" }));
          stream.once("data", () => {
            stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
            stream.end("x".repeat(100_000));
          });
          return true;
        },
      },
    });
    for (const length of [undefined, 500_000]) {
      const stream = http2Client(port).request({
        ":method": "POST",
        ":path": "/grpc",
        ...(length !== undefined && { "content-length": length }),
      });
      stream.on("error", () => undefined);
      stream.end(Buffer.alloc(500_000));
      const trailers = once(stream, "trailers");
      expect((await stream.setEncoding("utf8").toArray()).join("")).toHaveLength(100_000);
      expect((await trailers)[0]["grpc-status"]).toBe("8");
    }
  });

  it("an answer that is held is dropped when its client leaves", async () => {
    const written = Promise.withResolvers<unknown>();
    const { port } = await start((_request, response) => {
      response.writeHead(401);
      response.write("x".repeat(100_000), written.resolve);
    });
    const session = http2Client(port);
    const stream = session.request({ ":method": "POST", ":path": "/", "content-length": 10 });
    stream.on("error", () => undefined);
    await sleep(50);
    stream.close(8);
    expect(await written.promise).toBeInstanceOf(Error);
    expect((await ask(session, { ":method": "HEAD" })).status).toBe(401);
  });

  it.each([
    ["for await", false],
    ["events", false],
    ["events of the raw stream", true],
  ])("half a body has no end for a reader by %s, whoever cut it short", async (way, raw) => {
    const ends: string[] = [];
    const read = async (body: Readable) => {
      try {
        if (way === "for await") for await (const _piece of body);
        else await new Promise((resolve, reject) => body.resume().once("end", resolve).once("close", reject));
        ends.push("a clean end");
      } catch {
        ends.push("cut short");
      }
    };
    const answerLate: Handler = (request, response) => {
      if (request.url === "/late") setTimeout(() => response.writeHead(504).end(), 30);
      return read(request);
    };
    const takeRaw: NonNullable<EarlyHandlers["stream"]> = (stream, headers) => {
      if (headers[":path"] === "/late") setTimeout(() => stream.respond({ ":status": 504 }, { endStream: true }), 30);
      void read(stream);
      return true;
    };
    const { port } = await start(answerLate, raw ? { early: { stream: takeRaw } } : {});
    const cuts = [
      ["/", 8],
      ["/", 0],
      ["/", 2],
      ["/late", 8],
      ["/", undefined],
    ] as const;
    for (const [path, code] of cuts) {
      const line = await open(port);
      const fields = [0x83, 0x86, 0x04, path.length, ...Buffer.from(path), 0x01, 1, ...Buffer.from("x")];
      line.write(
        Buffer.concat([http2Hello, frame(1, 0x4, 1, Buffer.from(fields)), frame(0, 0, 1, Buffer.from("some"))]),
      );
      await sleep(80);
      if (code === undefined) line.close();
      else line.write(frame(3, 0, 1, Buffer.of(0, 0, 0, code)));
      await sleep(30);
    }
    expect(ends).toEqual(cuts.map(() => "cut short"));
  });

  it("a stream that is reset without an error in the middle of its body is gone", async () => {
    const { port, close } = await start(handler);
    const line = await open(port);
    line.write(Buffer.concat([http2Hello, postHead(1), frame(0, 0, 1, Buffer.from("some"))]));
    await sleep(50);
    line.write(frame(3, 0, 1, Buffer.alloc(4)));
    await sleep(50);
    expect(await close()).toBeLessThan(1_000);
  });

  it("a body that stays unread keeps neither its stream nor its connection", async () => {
    const { port, close } = await start(handler);
    const session = http2Client(port);
    for (const bytes of [10_000, 200_000]) {
      await ask(session, { ":path": "/throws", authorization: "Bearer x" }, Buffer.alloc(bytes));
    }
    expect(await close()).toBeLessThan(1_000);
  });
});
