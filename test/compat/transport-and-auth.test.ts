import { once } from "node:events";
import { type ClientHttp2Session, connect as http2Connect } from "node:http2";
import { text } from "node:stream/consumers";
import { type ConnectionOptions, connect } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BackendSchema, NodeService } from "../../gen/service/node_pb.ts";
import { userOf } from "../support/proxy-protocols.ts";
import { startSlowRelay } from "../support/slow-relay.ts";
import { type CompatNode, callerOver, type Failure, failureOf, startNode } from "./harness.ts";

let node: CompatNode;
let session: ClientHttp2Session;
beforeAll(async () => {
  node = await startNode();
  session = http2Connect(node.url, { ca: node.ca });
});
afterAll(() => {
  session.close();
  return node.close();
});

const otherKey = "11111111-2222-4333-8444-555555555555";
const routes = [
  "POST /start",
  "PUT /stop",
  "GET /info",
  "GET /logs",
  "GET /stats/system",
  "GET /stats/backend",
  "GET /stats",
  "GET /stats/",
  "GET /stats/latency",
  "GET /stats/user/online",
  "GET /stats/user/online_ip",
  "PUT /user/sync",
  "PUT /users/sync",
  "PUT /users/sync/chunked",
  "GET /routing/rules",
  "POST /routing/balancer",
  "POST /routing/test",
  "PUT /routing/rules",
  "DELETE /routing/rules",
  "PUT /routing/balancer/override",
].map((route) => route.split(" ") as [verb: string, path: string]);

function handshake(options: ConnectionOptions = {}) {
  const { hostname, port } = new URL(node.url);
  return connect({ host: hostname, port: Number(port), ca: node.ca, ...options });
}

/** A gRPC message of zeros. */
function frame(bytes: number): Buffer {
  const message = Buffer.alloc(5 + bytes);
  message.writeUInt32BE(bytes, 1);
  return message;
}

/** The status of a gRPC call with these headers. The message is sent until the answer comes. */
async function grpcStatus(
  method: string,
  headers: Record<string, string>,
  session: ClientHttp2Session,
  message = frame(0),
): Promise<Failure> {
  const call = session.request({
    ":method": "POST",
    ":path": `/service.NodeService/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  const seen: Record<string, unknown> = {};
  call.on("response", (head) => Object.assign(seen, head)).on("trailers", (trailers) => Object.assign(seen, trailers));
  const ended = once(call.resume(), "close");
  for (let sent = 0; sent < message.length && !(":status" in seen); sent += 65_536) {
    const taken = call.write(message.subarray(sent, sent + 65_536));
    if (!taken) await Promise.race([once(call, "drain"), ended]);
  }
  call.end();
  await ended;
  return { code: Number(seen["grpc-status"]), text: decodeURIComponent(String(seen["grpc-message"])) };
}

describe("transport", () => {
  it("1. a client that offers only ALPN h2 and then speaks HTTP/1.1 is served", async () => {
    const socket = handshake({ ALPNProtocols: ["h2"] });
    await once(socket, "secureConnect");
    socket.write(`GET /info HTTP/1.1\r\nHost: node\r\nx-api-key: ${node.key}\r\nConnection: close\r\n\r\n`);
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 200 /);
  });

  it("2. and 83. gRPC tells a version of the node from 0.2.0 on, of at most 32 characters", async () => {
    const { nodeVersion } = await node.grpc.info();
    const [major = 0, minor = 0] = nodeVersion.split(".").map(Number);
    expect(major > 0 || minor >= 2).toBe(true);
    expect(nodeVersion).toMatch(/^\d+\.\d+\.\d+/);
    expect(nodeVersion.length).toBeLessThanOrEqual(32);
  });

  it("3. ALPN h2 is negotiated with those who require it", async () => {
    const socket = handshake({ ALPNProtocols: ["h2"] });
    await once(socket, "secureConnect");
    expect(socket.alpnProtocol).toBe("h2");
    socket.destroy();
  });

  it("4. the certificate is its own authority, for its own addresses only", async () => {
    const right = handshake();
    await once(right, "secureConnect");
    expect(right.authorized).toBe(true);
    right.destroy();
    const wrong = handshake({ servername: "elsewhere.example" });
    await expect(once(wrong, "secureConnect")).rejects.toMatchObject({ code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  });

  it("11. a gRPC message of 65 MiB is refused, and the connection lives on", async () => {
    const headers = { "x-api-key": node.key };
    const refused = await grpcStatus("Start", headers, session, frame(65 * 1024 * 1024));
    expect(refused).toMatchObject({ code: Code.ResourceExhausted });
    expect(await grpcStatus("GetBaseInfo", headers, session)).toMatchObject({ code: 0 });
  });

  it("11. a REST body of 65 MiB is refused with 413", async () => {
    const body = toBinary(BackendSchema, create(BackendSchema, { config: "x".repeat(65 * 1024 * 1024) }));
    const answer = await node.request("POST", "/start", undefined, body);
    expect(answer.status).toBe(413);
  });

  it("12. the users of a large node arrive well inside 10 s over a round trip of 100 ms", async () => {
    const relay = await startSlowRelay(new URL(node.url), 50);
    const caller = callerOver("gRPC", { ...node, url: relay.url });
    await caller.info();
    const users = Array.from({ length: 50_000 }, (_, i) =>
      userOf(String(i), "vless", "vmess", "trojan", "shadowsocks"),
    );
    const startedAt = performance.now();
    // Refused only once everything has arrived.
    expect(await failureOf(caller.start({ config: "{", users }))).toMatchObject({ code: Code.Unknown });
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    await relay.close();
  });
});

describe("authentication", () => {
  it.each(routes)("5. REST %s %s without a key is 401", async (verb, path) => {
    const answer = await node.request(verb, path, {});
    expect([answer.status, answer.text]).toEqual([401, "missing x-api-key header\n"]);
    expect(answer.headers).toMatchObject({
      "content-type": "text/plain; charset=utf-8",
      "x-content-type-options": "nosniff",
    });
  });

  it.each(NodeService.methods)("5. gRPC $name without a key is Unauthenticated", async ({ name }) => {
    expect(await grpcStatus(name, {}, session)).toEqual({
      code: Code.Unauthenticated,
      text: "missing x-api-key header",
    });
  });

  it("6. a key that is no UUID is 422 and InvalidArgument", async () => {
    const text = "invalid api key format: must be a valid UUID";
    const answer = await node.request("GET", "/info", { "x-api-key": "abc" });
    expect([answer.status, answer.text]).toEqual([422, `${text}\n`]);
    const grpc = callerOver("gRPC", { ...node, key: "abc" });
    expect(await failureOf(grpc.info())).toEqual({ code: Code.InvalidArgument, text });
  });

  it("7. another key is 403 and PermissionDenied", async () => {
    const answer = await node.request("GET", "/info", { "x-api-key": otherKey });
    expect([answer.status, answer.text]).toEqual([403, "api key mismatch\n"]);
    const grpc = callerOver("gRPC", { ...node, key: otherKey });
    expect(await failureOf(grpc.info())).toEqual({ code: Code.PermissionDenied, text: "api key mismatch" });
  });

  it.each<[string, (key: string) => string]>([
    ["in upper case", (key) => key.toUpperCase()],
    ["without hyphens", (key) => key.replaceAll("-", "")],
    ["in braces", (key) => `{${key}}`],
    ["as urn:uuid", (key) => `urn:uuid:${key}`],
  ])("8. the key %s is accepted", async (_, spell) => {
    const key = spell(node.key);
    expect((await node.request("GET", "/info", { "x-api-key": key })).status).toBe(200);
    expect(await callerOver("gRPC", { ...node, key }).info()).toMatchObject({ started: false });
  });

  it("9. an unknown path is 401 without a key and 404 with it, a wrong method 405", async () => {
    expect((await node.request("GET", "/nothing", {})).status).toBe(401);
    const unknown = await node.request("GET", "/nothing");
    expect([unknown.status, unknown.text]).toEqual([404, "404 page not found\n"]);
    const wrong = await node.request("DELETE", "/info");
    expect([wrong.status, wrong.text]).toEqual([405, ""]);
  });

  it("10. an unknown gRPC method is Unimplemented", async () => {
    expect(await grpcStatus("GetEverything", { "x-api-key": node.key }, session)).toMatchObject({
      code: Code.Unimplemented,
    });
  });

  it("13. a Bearer alone is accepted, and refused with 401", async () => {
    expect((await node.request("GET", "/info", { authorization: `Bearer ${node.key}` })).status).toBe(200);
    expect((await node.request("GET", "/info", { authorization: `Bearer ${otherKey}` })).status).toBe(401);
    expect((await node.request("GET", "/info", { authorization: "Bearer" })).status).toBe(401);
  });

  // The last one: the address of these tests stays locked out for a while.
  it("only failures are limited: the calls of a client in a hurry pass, from an address that is locked out too", async () => {
    const stranger = callerOver("gRPC", { ...node, key: otherKey });
    const failures = await Promise.all(Array.from({ length: 130 }, () => failureOf(stranger.info())));
    expect(failures.filter(({ code }) => code === Code.ResourceExhausted).length).toBeGreaterThan(10);
    const calls = Array.from({ length: 117 }, () =>
      failureOf(node.grpc.syncChunked({ last: true, users: [userOf("1")] })),
    );
    const notStarted = { code: Code.Unavailable, text: "backend not initialized" };
    expect(await Promise.all(calls)).toEqual(calls.map(() => notStarted));
  });
});
