import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { observe } from "../../src/platform/rpc/interceptors/observe.ts";
import { validation } from "../../src/platform/rpc/interceptors/validation.ts";
import { PublicError } from "../../src/platform/rpc/public-error.ts";
import { createLog } from "../../src/platform/telemetry/log.ts";
import { servePipe } from "./pipe.ts";
import { key, type Served, serveRest } from "./serve.ts";
import { type ShelfLog, serveShelf } from "./shelf.ts";

const log: ShelfLog = { calls: [], aborted: [] };
let served: Served;

beforeAll(async () => {
  served = await serveRest([serveShelf(log, { interceptors: [validation()].flat() }), servePipe()]);
});
afterAll(() => served.close());

const fail = (how: string) => served.fetch("/api/fail", { method: "POST", body: JSON.stringify({ how }) });

describe("errors of handlers, in JSON", () => {
  test.each([
    ["public", 409, { ok: false, error: "too many", code: "AGENT_LIMIT" }],
    ["connect", 400, { ok: false, error: "out of range", code: "OUT_OF_RANGE" }],
    ["internal", 500, { ok: false, error: "told on purpose", code: "INTERNAL" }],
    ["unforeseen", 500, { ok: false, error: "internal error", code: "INTERNAL" }],
    ["unwritable", 500, { ok: false, error: "internal error", code: "INTERNAL" }],
    ["retry", 503, { ok: false, error: "later", code: "UNAVAILABLE" }],
    ["forwarded", 409, { ok: false, error: "from elsewhere", code: "ABORTED" }],
    ["caused", 500, { ok: false, error: "told, with a cause", code: "INTERNAL" }],
    ["header", 401, { ok: false, error: "with a header", code: "UNAUTHENTICATED" }],
  ])("%s", async (how, status, body) => {
    const response = await fail(how);
    expect(response.status).toBe(status);
    const { request_id: id, ...rest } = (await response.json()) as Record<string, unknown>;
    expect(rest).toEqual(body);
    expect(id).toMatch(/^request-\d+$/);
    expect(response.headers.get("x-request-id")).toBe(id);
    expect(response.headers.get("x-more")).toBe(how === "forwarded" ? "1" : null);
    expect(response.headers.get("date")).not.toBe("yesterday");
    expect(response.headers.get("retry-after")).toBe(how === "retry" ? "3" : null);
    expect(response.headers.get("www-authenticate")).toBe(how === "header" ? "Bearer" : null);
  });

  test("what was not foreseen is logged, and its text stays in the house", async () => {
    served.logged.length = 0;
    const text = await (await fail("unforeseen")).text();
    expect(text).not.toContain("secret");
    expect(served.logged.join()).toContain("secret of the house");
  });

  test("what the outermost interceptor has wrapped is no more telling", async () => {
    const nothing = { started: () => undefined, ended: () => undefined };
    const interceptor = observe(createLog("test", "silent"), nothing);
    const other = await serveRest([serveShelf(), servePipe()], { interceptor });
    const json = await other.fetch("/api/fail", { method: "POST", body: '{"how":"unforeseen"}' });
    expect(json.status).toBe(500);
    expect(await json.json()).toMatchObject({ error: "internal error", code: "INTERNAL" });
    const text = await other.fetch("/pipe/turn", { method: "POST", body: new Uint8Array([0x10, 1]) });
    expect(text.status).toBe(503);
    expect(await text.text()).toBe("out of order\n");
    await other.close();
  });

  test("a broken rule of the contract is told with its details", async () => {
    const response = await served.fetch("/api/items/1", { method: "PUT", body: `{"name":"${"x".repeat(21)}"}` });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      ok: false,
      error: expect.stringContaining("item.name"),
      code: "INVALID_ARGUMENT",
      details: [{ "@type": "buf.validate.Violations", violations: [{ ruleId: "string.max_len" }] }],
    });
  });

  test("a method without an implementation is Unimplemented", async () => {
    const response = await served.fetch("/api/forget", { method: "POST" });
    expect(response.status).toBe(501);
    expect(await response.json()).toMatchObject({ code: "UNIMPLEMENTED" });
  });
});

describe("the gate comes first", () => {
  const anonymous = { headers: { "x-api-key": "" } };

  test.each([
    ["a known route", "GET", "/api/items/1"],
    ["an unknown path", "GET", "/nowhere"],
    ["a known path with another method", "DELETE", "/api/items"],
    ["a body of another type", "POST", "/api/items"],
    ["a stream", "GET", "/api/events"],
  ])("%s is 401 without a key", async (_what, method, path) => {
    const response = await served.fetch(path, { method, ...anonymous });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ ok: false, error: "missing x-api-key header" });
  });

  test("a refusal says when to come back", async () => {
    const response = await served.fetch("/api/items/1", { headers: { "x-api-key": "limited" } });
    expect(response.status).toBe(429);
    expect(response.headers.get("retry-after")).toBe("2");
    expect(await response.json()).toMatchObject({ code: "RATE_LIMITED" });
  });

  test("before any of the body is there", async () => {
    const socket = connect(served.port, "127.0.0.1");
    socket.write("POST /api/echo HTTP/1.1\r\nhost: x\r\nx-api-key: wrong\r\ncontent-length: 100\r\n\r\n");
    const [head] = (await once(socket)).split("\r\n");
    expect(head).toBe("HTTP/1.1 401 Unauthorized");
    socket.destroy();
  });

  test("and may take its time", async () => {
    const other = await serveRest([serveShelf()], {
      gate: async ({ header, method }) => {
        await sleep(5);
        if (header.get("x-api-key") !== key) throw new PublicError("no", Code.PermissionDenied);
        expect(method?.name).toBe("GetItem");
      },
    });
    expect((await other.fetch("/api/items/1")).status).toBe(200);
    expect((await other.fetch("/api/items/1", anonymous)).status).toBe(403);
    await other.close();
  });
});

describe("paths and methods that are not there", () => {
  test("an unknown path is 404 in the form of the API that is nearest", async () => {
    const json = await served.fetch("/api/nowhere");
    expect(json.status).toBe(404);
    expect(await json.json()).toEqual({
      ok: false,
      error: "nothing is at this path",
      code: "NOT_FOUND",
      request_id: "request-unrouted",
    });
    const text = await served.fetch("/pipe/nowhere");
    expect(text.status).toBe(404);
    expect(text.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(text.headers.get("x-content-type-options")).toBe("nosniff");
    expect(await text.text()).toBe("nothing here\n");
    expect((await served.fetch("/")).headers.get("content-type")).toContain("json");
  });

  test("a variable cannot be empty", async () => {
    expect((await served.fetch("/api/items/")).status).toBe(404);
    expect((await served.fetch("/v1/api/items//")).status).toBe(404);
  });

  test.each([
    ["DELETE", "/api/items", "GET, HEAD, POST"],
    ["POST", "/api/items/7", "DELETE, GET, HEAD, PATCH, PUT"],
    ["GET", "/api/items/7:archive", undefined], // an id with a colon
    ["GET", "/api/items:archive", "POST"],
    ["HEAD", "/api/events", "GET"],
    ["OPTIONS", "/api/items", "GET, HEAD, POST"],
  ])("%s %s is 405, or served", async (method, path, allow) => {
    const response = await served.fetch(path, { method });
    expect(response.headers.get("allow") ?? undefined).toBe(allow);
    expect(response.status).toBe(allow === undefined ? 200 : 405);
    if (allow !== undefined && method !== "HEAD") {
      expect(await response.json()).toMatchObject({
        error: `this path is called with ${allow}`,
        code: "METHOD_NOT_ALLOWED",
      });
    }
  });

  test("405 in text, with the sentence of the API, which here is none", async () => {
    const response = await served.fetch("/pipe/turn", { method: "DELETE" });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("GET, HEAD, POST");
    expect(await response.text()).toBe("");
  });
});

describe("bodies that are too large", () => {
  test("announced: refused before it is read", async () => {
    const socket = connect(served.port, "127.0.0.1");
    socket.write(`POST /api/echo/lenient HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ncontent-length: 1001\r\n\r\n`);
    const answer = await once(socket);
    expect(answer).toContain("HTTP/1.1 413");
    expect(answer).toContain('"error":"the body is too large: at most 1000 bytes","code":"PAYLOAD_TOO_LARGE"');
    socket.destroy();
  });

  test("not announced: refused when it gets too large, and the connection goes on", async () => {
    const socket = connect(served.port, "127.0.0.1");
    const chunk = `${(600).toString(16)}\r\n${" ".repeat(600)}\r\n`;
    const head = `host: x\r\nx-api-key: ${key}\r\n`;
    socket.write(`POST /api/echo/lenient HTTP/1.1\r\n${head}transfer-encoding: chunked\r\n\r\n${chunk}`);
    await sleep(20);
    socket.write(chunk);
    expect(await once(socket)).toContain("HTTP/1.1 413");
    socket.write(`${chunk}0\r\n\r\nGET /api/items/1 HTTP/1.1\r\n${head}\r\n`);
    expect(await once(socket)).toContain("HTTP/1.1 200 OK");
    socket.destroy();
  });

  test("in the API's own limit and form", async () => {
    const large = " ".repeat(100_001);
    expect((await served.fetch("/api/echo", { method: "POST", body: large })).status).toBe(413);
    expect((await served.fetch("/api/echo", { method: "POST", body: `${large.slice(3)}{}` })).status).toBe(200);
    const text = await served.fetch("/pipe/turn", { method: "POST", body: large });
    expect(text.status).toBe(413);
    expect(await text.text()).toBe("the body is too large: at most 64 bytes\n");
  });
});

describe("callers that leave", () => {
  test("abort the signal of the call", async () => {
    log.aborted.length = 0;
    const leaving = new AbortController();
    const pending = served.fetch("/api/fail", { method: "POST", body: '{"how":"slow"}', signal: leaving.signal });
    await sleep(50);
    leaving.abort();
    await expect(pending).rejects.toThrow();
    await expect.poll(() => log.aborted).toMatchObject([{ rawMessage: "the client has left", code: Code.Canceled }]);
  });

  test("in the middle of a body leave nothing behind", async () => {
    const socket = connect(served.port, "127.0.0.1");
    socket.write(`POST /api/echo HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\ncontent-length: 100\r\n\r\n{`);
    await sleep(50);
    socket.destroy();
    await sleep(50);
    expect(served.logged.join()).not.toContain("the client has left");
    expect((await served.fetch("/api/items/1")).status).toBe(200);
  });

  test("or stay while the server goes down are told so", async () => {
    const other = await serveRest([serveShelf()]);
    const pending = other.fetch("/api/fail", { method: "POST", body: '{"how":"slow"}' });
    await sleep(50);
    other.shutdown.begin(0);
    const response = await pending;
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ code: "UNAVAILABLE" });
    await other.close();
  });
});

/** What a socket receives next, head and body of one small answer. */
function once(socket: ReturnType<typeof connect>): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const onData = (piece: Buffer) => {
      text += piece;
      const [head, body] = text.split("\r\n\r\n");
      const length = Number(/content-length: (\d+)/.exec(head ?? "")?.[1]);
      if (body !== undefined && body.length >= length) {
        socket.off("data", onData);
        resolve(text);
      }
    };
    socket.on("data", onData).once("error", reject);
  });
}
