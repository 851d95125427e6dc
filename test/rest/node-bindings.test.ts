import { connect } from "node:net";
import { create, type DescMessage, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { NodeAgentService } from "../../gen/garrison/core/v1/node_agent_pb.ts";
import {
  BackendSchema,
  BaseInfoResponseSchema,
  LatencyRequestSchema,
  NodeService,
  StatRequestSchema,
  StatResponseSchema,
  StatType,
  UserSchema,
  UsersChunkSchema,
} from "../../gen/service/node_pb.ts";
import { delimited } from "../../src/platform/rest/delimited.ts";
import { bindingsOfAll } from "../../src/platform/rest/read-bindings.ts";
import { PublicError } from "../../src/platform/rpc/public-error.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { key, type Served, serveRest } from "./serve.ts";

// What real clients of the node send and expect over REST, on handlers that only look at what they get.
const seen: unknown[] = [];
let served: Served;

beforeAll(async () => {
  const node = serveService(NodeService, {
    start({ config, users }) {
      if (config === "bad") throw new PublicError("the engine's own words", Code.Unknown, { httpStatus: 503 });
      seen.push({ config, users: users.length });
      return { started: true, coreVersion: "26.3.27", nodeVersion: "0.3.0" };
    },
    stop: () => ({}),
    getBaseInfo: () => ({ nodeVersion: "0.3.0" }),
    async *getLogs(_request, { signal }) {
      yield { detail: "first" };
      yield { detail: "second" };
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    },
    getStats({ name, reset, type }) {
      seen.push({ name, reset, type });
      return { stats: [{ name: "a@b", type: "uplink", link: "traffic", value: 2n ** 60n }] };
    },
    getSystemStats() {
      throw new PublicError("backend not initialized", Code.Unavailable, { httpStatus: 500 });
    },
    getBackendStats() {
      throw new TypeError("nobody foresaw this");
    },
    async syncUser(users) {
      for await (const { email } of users) {
        if (email === "") throw new PublicError("email is required", Code.Unknown, { httpStatus: 400 });
        seen.push(email);
      }
      return {};
    },
    async syncUsersChunked(chunks) {
      for await (const { users, index, last } of chunks) {
        seen.push({ users: users.length, index, last });
        if (last) return {};
      }
      throw new PublicError("missing final chunk indicator", Code.InvalidArgument);
    },
  });
  served = await serveRest([node]);
});
beforeEach(() => {
  seen.length = 0;
});
afterAll(() => served.close());

const message = <D extends DescMessage>(desc: D, init: MessageInitShape<D>) =>
  new Uint8Array(toBinary(desc, create(desc, init)));
const chunk = (init: MessageInitShape<typeof UsersChunkSchema>) => delimited(message(UsersChunkSchema, init));
const send = (method: string, path: string, body?: Uint8Array<ArrayBuffer>) =>
  served.fetch(path, { method, ...(body && { body }), headers: { "content-type": "application/x-protobuf" } });

/** As aiohttp does it: fetch refuses a GET with a body. */
async function getWithBody(path: string, body: Uint8Array): Promise<{ head: string; body: Buffer }> {
  const socket = connect(served.port, "127.0.0.1");
  const head = `GET ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\naccept: */*\r\ncontent-length: ${body.length}\r\n\r\n`;
  socket.write(Buffer.concat([Buffer.from(head), body]));
  const answer = await new Promise<Buffer>((resolve) => socket.once("data", resolve));
  socket.destroy();
  const end = answer.indexOf("\r\n\r\n");
  return { head: answer.subarray(0, end).toString(), body: answer.subarray(end + 4) };
}

test("all routes of the contract can be served", () => {
  const routes = bindingsOfAll([NodeService, NodeAgentService]).map(({ verb, path }) => `${verb} ${path.text}`);
  expect(routes).toEqual(expect.arrayContaining(["GET /stats", "GET /stats/", "POST /node/register"]));
});

describe("the node's REST", () => {
  test("starts, and answers in protobuf", async () => {
    const body = message(BackendSchema, { config: "{}", users: [{ email: "a@b" }] });
    const response = await send("POST", "/start", body);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/x-protobuf");
    const info = fromBinary(BaseInfoResponseSchema, new Uint8Array(await response.arrayBuffer()));
    expect(info).toMatchObject({ started: true, coreVersion: "26.3.27" });
    expect(seen).toEqual([{ config: "{}", users: 1 }]);
  });

  test("tells a config that is refused with 503 and the engine's words", async () => {
    const response = await send("POST", "/start", message(BackendSchema, { config: "bad" }));
    expect(response.status).toBe(503);
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(await response.text()).toBe("the engine's own words\n");
  });

  test("tells garbage with 400", async () => {
    expect((await send("POST", "/start", new Uint8Array([0xff, 0xff]))).status).toBe(400);
    const response = await send("PUT", "/user/sync", new Uint8Array([0x0a, 0x05]));
    expect(response.status).toBe(400);
    expect(await response.text()).toBe("Failed to decode user\n");
  });

  test("stops without a body, and with one that nobody reads", async () => {
    const response = await send("PUT", "/stop");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-length")).toBe("0");
    expect((await send("PUT", "/stop", new Uint8Array(1000))).status).toBe(200);
  });

  test.each(["/stats", "/stats/"])("takes GET with a body at %s", async (path) => {
    const body = message(StatRequestSchema, { name: "a@b", reset: true, type: StatType.UserStat });
    const answer = await getWithBody(path, body);
    expect(answer.head).toContain("200 OK");
    expect(fromBinary(StatResponseSchema, answer.body).stats[0]).toMatchObject({ name: "a@b", value: 2n ** 60n });
    expect(seen).toEqual([{ name: "a@b", reset: true, type: StatType.UserStat }]);
  });

  test("takes GET without one", async () => {
    expect((await send("GET", "/stats")).status).toBe(200);
    expect(seen).toEqual([{ name: "", reset: false, type: StatType.Outbounds }]);
  });

  test("sends raw lines of the log, and flushes its head at once", async () => {
    const response = await served.fetch("/logs", { headers: { accept: "*/*" } });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (text.length < 13) text += (await reader?.read())?.value ?? "";
    expect(text).toBe("first\nsecond\n");
    await reader?.cancel();
  });

  test("sends events of the log to who asks for them", async () => {
    const response = await served.fetch("/logs", { headers: { accept: "text/event-stream" } });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect(await reader?.read()).toMatchObject({ value: expect.stringContaining("data: first\n\n") });
    await reader?.cancel();
  });

  test("takes one user", async () => {
    expect((await send("PUT", "/user/sync", message(UserSchema, { email: "a@b" }))).status).toBe(200);
    expect(seen).toEqual(["a@b"]);
    const refused = await send("PUT", "/user/sync", message(UserSchema, {}));
    expect(refused.status).toBe(400);
    expect(await refused.text()).toBe("email is required\n");
  });

  test("takes users in chunks, and answers as soon as the last is there", async () => {
    const body = Buffer.concat([
      chunk({ users: [{ email: "a" }] }),
      Buffer.from([0]),
      chunk({ index: 1n, last: true }),
    ]);
    expect((await send("PUT", "/users/sync/chunked", new Uint8Array(body))).status).toBe(200);
    expect(seen).toEqual([
      { users: 1, index: 0n, last: false },
      { users: 0, index: 1n, last: true },
    ]);
  });

  test.each([
    ["a truncated payload", Buffer.from([9, 1]), "failed to read chunk payload: unexpected EOF\n"],
    ["a truncated length", Buffer.from([0x80]), "failed to read chunk length: unexpected EOF\n"],
    ["an endless length", Buffer.alloc(10, 0xff), "failed to read chunk length: varint overflows a 64-bit integer\n"],
    [
      "an absurd length",
      Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
      "failed to read chunk length: no message has ",
    ],
    ["a bad chunk", Buffer.from([2, 0x0a, 9]), "failed to decode chunk: premature EOF\n"],
    ["no last chunk", chunk({ users: [{ email: "a" }] }), "missing final chunk indicator\n"],
  ])("words %s as the original does", async (_what, body, text) => {
    const response = await send("PUT", "/users/sync/chunked", new Uint8Array(body));
    expect(response.status).toBe(400);
    expect(await response.text()).toContain(text);
  });

  test("tells what nobody foresaw with 503, since 500 means that users were refused", async () => {
    const response = await send("GET", "/stats/backend");
    expect(response.status).toBe(503);
    expect(await response.text()).toBe("internal error\n");
  });

  test("tells that no backend runs with 500, as it is told", async () => {
    const response = await send("GET", "/stats/system");
    expect(response.status).toBe(500);
    expect(await response.text()).toBe("backend not initialized\n");
  });

  test("answers what is not implemented with 501, also behind a body", async () => {
    expect((await send("GET", "/routing/rules")).status).toBe(501);
    expect((await getWithBody("/stats/latency", message(LatencyRequestSchema, { name: "x" }))).head).toContain(" 501 ");
  });

  test("knows neither other paths nor other methods, and without a key tells nothing", async () => {
    const missing = await send("GET", "/nowhere");
    expect(missing.status).toBe(404);
    expect(await missing.text()).toBe("404 page not found\n");
    const wrong = await send("GET", "/start");
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get("allow")).toBe("POST");
    expect(await wrong.text()).toBe("");
    for (const path of ["/nowhere", "/start", "/info"]) {
      const refused = await served.fetch(path, { headers: { "x-api-key": "" } });
      expect(refused.status).toBe(401);
      expect(await refused.text()).toBe("missing x-api-key header\n");
    }
  });
});
