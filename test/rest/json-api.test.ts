import { connect } from "node:http2";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { EchoRequest } from "./gen/garrison/resttest/v1/shelf_service_pb.ts";
import { key, type Served, serveRest } from "./serve.ts";
import { document, type ShelfLog, serveShelf } from "./shelf.ts";

const log: ShelfLog = { calls: [], aborted: [] };
let served: Served;

beforeAll(async () => {
  served = await serveRest([serveShelf(log)]);
});
beforeEach(() => {
  log.calls.length = 0;
});
afterAll(() => served.close());

const json = { "content-type": "application/json" };
const post = (path: string, body: string, headers: Record<string, string> = json) =>
  served.fetch(path, { method: "POST", body, headers });

describe("paths", () => {
  test("a variable is a segment, percent-decoded", async () => {
    const response = await served.fetch("/api/items/a%2Fb%20c");
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ ok: true, data: { id: "a/b c" } });
  });

  test("one RPC has several", async () => {
    for (const path of ["/api/items/7", "/v1/api/items/7"]) {
      expect(await (await served.fetch(path)).json()).toMatchObject({ data: { id: "7" } });
    }
  });

  test("a tail takes all that remains", async () => {
    expect(await (await served.fetch("/api/files/a/b%2Fc/d.txt")).json()).toMatchObject({
      data: { path: "a/b/c/d.txt" },
    });
    expect(await (await served.fetch("/api/files/")).json()).toMatchObject({ data: { token: "t" } });
  });

  test("a verb after a variable, or after a name, is not a part of it", async () => {
    expect(await (await post("/api/items/a:b:archive", "")).json()).toEqual({ id: "a:b" });
    expect(await (await post("/api/items:archive", "")).json()).toEqual({ id: "all" });
  });

  test("a variable wins over the same field in the body, and reaches into messages", async () => {
    const response = await served.fetch("/api/items/9", { method: "PUT", body: '{"id":"8","name":"box"}' });
    expect(await response.json()).toMatchObject({ data: { id: "9", name: "box" } });
    const patched = await served.fetch("/api/items/9", { method: "PATCH" });
    expect(await patched.json()).toMatchObject({ data: { id: "9" } });
  });

  test("a long variable is taken whole", async () => {
    const id = "x".repeat(3000);
    expect(await (await served.fetch(`/api/items/${id}`)).json()).toMatchObject({ data: { id } });
  });
});

describe("query", () => {
  test.each<[string, string, object]>([
    ["numbers", "page=3&limit=50", { page: 3, limit: 50 }],
    ["an alias", "perPage=20", { limit: 20 }],
    ["JSON names", "largerThan=-5", { largerThan: -5 }],
    ["proto names", "larger_than=5", { largerThan: 5 }],
    [
      "repetition, and enums in any spelling",
      "severity=low&severity=SEVERITY_HIGH&severity=2",
      { severity: ["low", "high", "high"] },
    ],
    ["a boolean that is only named", "archived", { archived: true }],
    ["a boolean as 1", "archived=1", { archived: true }],
    ["nested fields", "owner.id=12&owner.tags=a&owner.tags=b", { owner: { id: 12, tags: ["a", "b"] } }],
    ["times", "since=2026-01-31T12:00:00%2B01:00", { since: "2026-01-31T11:00:00Z" }],
    ["what nobody knows is ignored", "utm_source=x&owner.shoe=9&page=1", { page: 1 }],
  ])("%s", async (_what, query, expected) => {
    const response = await served.fetch(`/api/asked?${query}`);
    expect(await response.json()).toEqual(expected);
  });

  test("a 64-bit integer is exact", async () => {
    const response = await served.fetch("/api/asked?largerThan=9007199254740993");
    expect(await response.text()).toContain('"largerThan":9007199254740993');
  });

  test.each([
    ["page=abc", 400, '"page" in the query: expected an integer, got "abc"'],
    ["page=-1", 400, '"page" in the query: -1 is not between 0 and 4294967295'],
    ["page=1&page=2", 400, '"page" in the query: the field is given twice'],
    ["limit=1&perPage=2", 400, '"perPage" in the query: the field is given twice'],
    ["archived=maybe", 400, '"archived" in the query: expected true or false'],
    ["severity=purple", 400, '"severity" in the query: [0]: "purple" is none of SEVERITY_UNSPECIFIED, low, high'],
    ["owner=x", 400, '"owner" in the query: expected an object, got a string'],
  ])("%s is refused", async (query, status, error) => {
    const response = await served.fetch(`/api/items?${query}`);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ ok: false, error, code: "INVALID_ARGUMENT" });
  });

  test("what is not in the body comes from it, where the body is one field", async () => {
    const response = await post("/api/items?dry_run=true", '{"name":"box"}');
    expect(await response.json()).toMatchObject({ data: { name: "box" } });
    expect(await (await post("/api/items", '{"name":"box"}')).json()).toMatchObject({ data: { id: "new" } });
  });

  test("is not read where the body is the whole request", async () => {
    await post("/api/echo?names=x", '{"names":["a"]}');
    expect((log.calls[0] as EchoRequest).names).toEqual(["a"]);
  });
});

describe("bodies", () => {
  test("the content type is not looked at, unless the route wants it", async () => {
    expect((await post("/api/echo", "{}", { "content-type": "text/nonsense; q" })).status).toBe(200);
    expect((await post("/api/echo", "{}", { "content-type": "garbage" })).status).toBe(200);
    const refused = await post("/api/items", "{}", { "content-type": "text/plain" });
    expect(refused.status).toBe(415);
    expect(await refused.json()).toMatchObject({ ok: false, code: "UNSUPPORTED_MEDIA_TYPE" });
    expect((await post("/api/items", "{}", { "content-type": "Application/JSON; charset=utf-8" })).status).toBe(201);
  });

  test("a compressed body is refused, not misread", async () => {
    expect((await post("/api/echo", "{}", { ...json, "content-encoding": "gzip" })).status).toBe(415);
    expect((await post("/api/echo", "{}", { ...json, "content-encoding": "identity" })).status).toBe(200);
  });

  test("none is an empty request", async () => {
    expect(await (await post("/api/echo", "")).json()).toEqual({ ok: true, data: {} });
    expect((await served.fetch("/api/items/5", { method: "DELETE" })).status).toBe(204);
    expect(log.calls.at(-1)).toMatchObject({ id: "5", reason: "" });
  });

  test("DELETE has one", async () => {
    const response = await served.fetch("/api/items/5", { method: "DELETE", body: '{"reason":"old"}', headers: json });
    expect(response.status).toBe(204);
    expect(await response.text()).toBe("");
    expect(log.calls.at(-1)).toMatchObject({ id: "5", reason: "old" });
  });

  test("one that is a repeated field is a list", async () => {
    const response = await post("/api/echo/names", '["a","b"]');
    expect(await response.json()).toEqual({ ok: true, data: { names: ["a", "b"] } });
  });

  test("a list, and JSON in a string, where the route is lenient, and only there", async () => {
    const expected = { ok: true, data: { items: [{ id: "1", size: 0, ownerId: null }] } };
    for (const body of [
      '[{"id":"1"}]',
      '"[{\\"id\\":\\"1\\"}]"',
      '{"items":[{"id":"1"}]}',
      '"{\\"items\\":[{\\"id\\":\\"1\\"}]}"',
    ]) {
      expect(await (await post("/api/echo/lenient", body)).json()).toEqual(expected);
    }
    expect((await post("/api/echo", '[{"id":"1"}]')).status).toBe(400);
    expect((await post("/api/echo", '"{}"')).status).toBe(400);
  });

  test.each([
    ["{", "the body is malformed: expected a member's name in quotes, but the text ends"],
    ['{"names":[1]}', "the body is malformed: names[0]: expected a string, got a number"],
    ['{"items":[{},{"severity":"purple"}]}', 'the body is malformed: items[1].severity: "purple" is none of'],
    ['{"kinds":{"int64Value":1.5}}', "the body is malformed: kinds.int64Value: expected an integer, got 1.5"],
    ["{} {}", "the body is malformed: expected the end, got an object"],
    ["\xff", "the body is malformed: expected an object at character 1"],
  ])("%j is refused", async (body, error) => {
    const response = await post("/api/echo", body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ ok: false, error: expect.stringContaining(error) });
  });

  test("invalid UTF-8 is refused", async () => {
    const response = await served.fetch("/api/echo", { method: "POST", body: new Uint8Array([0x22, 0xff, 0x22]) });
    expect(await response.json()).toMatchObject({ ok: false, error: "the body is malformed: it is not UTF-8" });
  });
});

describe("answers", () => {
  test("in the envelope, or bare", async () => {
    const text = (id: string) =>
      `{"id":"${id}","name":"ladder","size":9007199254740993,"document":${document},"ownerId":null}`;
    const enveloped = await served.fetch("/api/items/7");
    expect(await enveloped.text()).toBe(`{"ok":true,"data":${text("7")}}`);
    expect(enveloped.headers.get("content-type")).toBe("application/json; charset=utf-8");
    expect(enveloped.headers.get("cache-control")).toBeNull();
    const bare = await served.fetch("/api/bare/items/7");
    expect(await bare.text()).toBe(text("7"));
    expect(bare.headers.get("cache-control")).toBe("max-age=60");
  });

  test("a list as data, with pagination beside it", async () => {
    const response = await served.fetch("/api/items?page=2");
    expect(await response.json()).toEqual({
      ok: true,
      data: [
        { id: "1", size: 0, ownerId: null },
        { id: "2", size: 0, ownerId: null },
      ],
      pagination: { total: 2, page: 2 },
    });
  });

  test("fields beside the data, and nothing that was not named", async () => {
    expect(await (await served.fetch("/api/files/x")).text()).toBe(
      '{"ok":true,"data":{"path":"x","token":"t"},"agentId":"agent-1","token":"t"}',
    );
    expect(await (await served.fetch("/api/files/anonymous")).json()).not.toHaveProperty("token");
  });

  test("the status that the route names", async () => {
    expect((await post("/api/items", "{}")).status).toBe(201);
  });

  test("headers of the handler", async () => {
    const response = await served.fetch("/api/items/7", { headers: { "x-shelf": "upper" } });
    expect(response.headers.get("x-shelf")).toBe("upper");
    expect(response.headers.get("x-request-id")).toMatch(/^request-\d+$/);
  });

  test("HEAD is GET without the body", async () => {
    const response = await served.fetch("/api/items/7", { method: "HEAD" });
    expect(response.status).toBe(200);
    expect(Number(response.headers.get("content-length"))).toBeGreaterThan(50);
    expect(await response.text()).toBe("");
  });

  test("one field of the response, in every kind, through both codecs of legacy JSON", async () => {
    const body = `{"int64Value":9223372036854775807,"struct":{"a":[1,"b"]},"severity":"high","any":{"@type":"type.googleapis.com/garrison.resttest.v1.Item","id":"1"}}`;
    const response = await post("/api/echo/kinds", body);
    const text = await response.text();
    expect(text).toContain('"int64Value":9223372036854775807');
    expect(JSON.parse(text)).toMatchObject({ struct: { a: [1, "b"] }, severity: "high", any: { id: "1" } });
    expect(await (await post("/api/echo/kinds", "")).text()).toBe("null");
  });

  test("a document that was captured verbatim goes out verbatim", async () => {
    const response = await post("/api/echo", `{"ruled":{"document": ${document} }}`);
    expect(await response.text()).toContain(`"document":${document}`);
    expect((log.calls[0] as EchoRequest).ruled?.document).toBe(document);
  });
});

describe("text feeds and ETags", () => {
  test("a text, as string or bytes", async () => {
    const text = await served.fetch("/feeds/names.txt");
    expect(text.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(text.headers.get("cache-control")).toBe("max-age=300");
    expect(await text.text()).toBe("alice\nbob\n");
    const csv = await served.fetch("/feeds/names.csv");
    expect(csv.headers.get("content-type")).toBe("text/csv");
    expect(csv.headers.get("etag")).toBeNull();
    expect(await csv.text()).toBe("alice,bob\n");
  });

  test("a text of a kind that the handler tells, else of the usual one", async () => {
    const told = await served.fetch("/feeds/names?kind=text/x-people");
    expect(told.headers.get("content-type")).toBe("text/x-people");
    expect(await told.text()).toBe("alice\nbob\n");
    expect((await served.fetch("/feeds/names")).headers.get("content-type")).toBe("text/x-names");
  });

  test("the ETag of a text is answered with 304, weak or in a list", async () => {
    const etag = (await served.fetch("/feeds/names.txt")).headers.get("etag") ?? "";
    expect(etag).toMatch(/^"[\w-]{27}"$/);
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
      const response = await served.fetch("/feeds/names.txt", { headers: { "if-none-match": known } });
      expect(response.status).toBe(304);
      expect(response.headers.get("etag")).toBe(etag);
      expect(response.headers.get("cache-control")).toBe("max-age=300");
      expect(await response.text()).toBe("");
    }
    expect((await served.fetch("/feeds/names.txt", { headers: { "if-none-match": '"x"' } })).status).toBe(200);
  });

  test("the handler's own ETag is the one of a message", async () => {
    const response = await served.fetch("/api/document");
    expect(response.headers.get("etag")).toBe('"revision-7"');
    expect(await response.json()).toMatchObject({ tags: [], parent: null });
    const known = await served.fetch("/api/document", { headers: { "if-none-match": '"revision-7"' } });
    expect(known.status).toBe(304);
  });
});

describe("client streams", () => {
  test("take the body as their one message", async () => {
    expect(await (await post("/api/import", '{"item":{"name":"box"}}')).json()).toEqual({
      ok: true,
      data: { count: 1 },
    });
    const bad = await post("/api/import", '{"item":{"name":"bad"}}');
    expect(bad.status).toBe(400);
    expect(await bad.json()).toMatchObject({ error: "a bad item" });
  });
});

test("the handler sees which protocol it is called over", async () => {
  await served.fetch("/api/items/7?x=1");
  expect(log.calls[0]).toMatchObject({ protocolName: "rest", url: `${served.url}/api/items/7?x=1` });
});

test("an RPC without a route is not served", async () => {
  expect((await served.fetch("/garrison.resttest.v1.ShelfService/Hide", { method: "POST" })).status).toBe(404);
});

test("over HTTP/2 all is the same", async () => {
  const session = connect(served.url);
  const ask = (headers: Record<string, string>, body?: string) =>
    new Promise<{ status: unknown; text: string }>((resolve, reject) => {
      const stream = session.request({ "x-api-key": key, ...headers });
      let status: unknown;
      let text = "";
      stream.setEncoding("utf8");
      stream.on("response", (fields) => {
        status = fields[":status"];
      });
      stream.on("data", (piece) => {
        text += piece;
      });
      stream.on("end", () => resolve({ status, text }));
      stream.on("error", reject);
      stream.end(body);
    });
  expect(await ask({ ":path": "/api/items/7" })).toMatchObject({ status: 200 });
  expect(await ask({ ":path": "/api/echo", ":method": "POST" }, '{"names":["a"]}')).toEqual({
    status: 200,
    text: '{"ok":true,"data":{"names":["a"]}}',
  });
  expect(await ask({ ":path": "/api/events?count=2" })).toMatchObject({ status: 200 });
  expect(await ask({ ":path": "/api/nowhere" })).toMatchObject({ status: 404 });
  session.close();
});
