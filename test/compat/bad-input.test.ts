import { once } from "node:events";
import { connect as http2Connect } from "node:http2";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { connect as tlsConnect } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { BackendSchema, type BackendType, UserSchema, UsersSchema } from "../../gen/service/node_pb.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { engineOf } from "../support/child-processes.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { admitted } from "../support/users-online.ts";
import { type CompatNode, failureOf, startNode } from "./harness.ts";

// Whatever comes in, the engine that runs and its users are as they were.

let node: CompatNode;
let target: ByteTarget;
let port: number;
let engine: number;
const user = userOf("resident@example.org", "vless");
beforeAll(async () => {
  let ports: number[];
  [node, target, ports] = await Promise.all([startNode(), startByteTarget(), freePorts(4)]);
  port = ports[0] ?? 0;
  await node.grpc.start({ config: nodeConfig(ports), users: [user] });
  engine = await engineOf(node.pid);
});
afterEach(async () => {
  const protocol = proxyProtocols[0];
  if (protocol === undefined) throw new Error("no protocol");
  expect(await admitted([{ protocol, port, user }], target)).toEqual([true]);
  expect(await engineOf(node.pid)).toBe(engine);
  expect(await node.grpc.info()).toMatchObject({ started: true });
});
afterAll(() => Promise.all([node.close(), target.close()]));

const invalidUtf8 = Uint8Array.of(0x0a, 2, 0xc3, 0x28);
const put = (path: string, body: Uint8Array) => node.request("PUT", path, undefined, body);

describe("with an engine that runs", () => {
  it.each<[string, Uint8Array]>([
    ["garbage", Buffer.from("\x16\x03garbage\r\n\r\n\0\xff".repeat(100), "latin1")],
    ["nothing but zeros", Buffer.alloc(100_000)],
    ["an HTTP/2 preface and then garbage", Buffer.from(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"x".repeat(1_000)}`)],
  ])("%s on the port, in plain and inside TLS, harms nothing", async (_, bytes) => {
    const { hostname: host, port } = new URL(node.url);
    for (const socket of [
      connect({ host, port: Number(port) }),
      tlsConnect({ host, port: Number(port), ca: node.ca }),
    ]) {
      const closed = once(socket, "close");
      socket.on("error", () => undefined).end(bytes);
      socket.resume();
      await closed;
    }
  });

  it("plain HTTP on the TLS port is told to use https", async () => {
    const { hostname: host, port } = new URL(node.url);
    const socket = connect({ host, port: Number(port) });
    socket.write(`GET /info HTTP/1.1\r\nHost: x\r\nx-api-key: ${node.key}\r\n\r\n`);
    expect(await text(socket)).toMatch(/^HTTP\/1.1 400 Bad Request\r\n.*This port speaks TLS: use https\.\n$/s);
  });

  it("headers beyond 16 KiB are refused over HTTP/1.1 and HTTP/2", async () => {
    const large = { "x-api-key": node.key, "x-large": "x".repeat(20_000) };
    expect((await node.request("GET", "/info", large)).status).toBe(431);
    const session = http2Connect(node.url, { ca: node.ca });
    const call = session.request({ ":path": "/info", ...large });
    const [head] = await once(call, "response").catch(() => [{ ":status": 431 }]);
    expect(head[":status"]).toBe(431);
    session.destroy();
  });

  it.each<[string, Uint8Array]>([
    ["garbage", Buffer.from("garbage")],
    ["a truncated message", toBinary(UserSchema, user).subarray(0, -3)],
    ["invalid UTF-8", invalidUtf8],
    ["an endless varint", Buffer.alloc(20, 0xff)],
    ["a length beyond the end", Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x07)],
  ])("a REST body that is %s is 400", async (_, body) => {
    for (const path of ["/user/sync", "/users/sync"]) expect((await put(path, body)).status).toBe(400);
  });

  it.each<[string, Buffer]>([
    ["garbage", Buffer.from("garbage that is no frame")],
    ["a frame that ends early", Buffer.from([0, 0, 0, 0, 100, 1, 2, 3])],
    ["a frame of 4 GiB", Buffer.from([0, 0xff, 0xff, 0xff, 0xff])],
    ["a message that is none", Buffer.from([0, 0, 0, 0, 3, 0x0a, 0xff, 0xff])],
    ["invalid UTF-8", Buffer.from([0, 0, 0, 0, invalidUtf8.length, ...invalidUtf8])],
    ["compression that was not announced", Buffer.from([1, 0, 0, 0, 1, 0])],
  ])("a gRPC call whose body is %s fails", async (_, body) => {
    const session = http2Connect(node.url, { ca: node.ca });
    for (const method of ["Start", "SyncUser", "SyncUsersChunked"]) {
      const call = session.request({
        ":method": "POST",
        ":path": `/service.NodeService/${method}`,
        "content-type": "application/grpc",
        te: "trailers",
        "x-api-key": node.key,
      });
      const seen: Record<string, unknown> = {};
      call
        .on("response", (head) => Object.assign(seen, head))
        .on("trailers", (trailers) => Object.assign(seen, trailers));
      const closed = once(call.resume(), "close");
      call.end(body);
      await closed;
      expect(Number(seen["grpc-status"])).toBeGreaterThan(0);
    }
    session.close();
  });

  it("a Start that is truncated is 400", async () => {
    const whole = toBinary(BackendSchema, create(BackendSchema, { config: "{}", users: [user] }));
    expect((await node.request("POST", "/start", undefined, whole.subarray(0, -3))).status).toBe(400);
  });

  it("an unknown type of backend and an unknown field are no harm", async () => {
    const request = create(BackendSchema, { type: 2_000_000_000 as BackendType, config: "{}" });
    expect(await failureOf(node.grpc.start(request))).toMatchObject({ text: "invalid backend type" });
    const answer = await node.request("POST", "/start", undefined, toBinary(BackendSchema, request));
    expect([answer.status, answer.text]).toEqual([503, "invalid backend type\n"]);
  });

  it("users of absurd shape are left out, and the others served", async () => {
    const huge = "x".repeat(1_000_000);
    const absurd = [
      { email: huge, inbounds: ["vless"], proxies: user.proxies },
      { email: "tags", inbounds: Array.from({ length: 10_000 }, (_, i) => `tag ${i}`), proxies: user.proxies },
      { email: "id", inbounds: ["vless", "vmess"], proxies: { vless: { id: huge }, vmess: { id: "\0" } } },
      { email: "\u0000\u202e>>>traffic>>>", inbounds: ["trojan"], proxies: { trojan: { password: huge } } },
      { email: "cipher", inbounds: ["shadowsocks"], proxies: { shadowsocks: { password: "", method: "rot13" } } },
      { email: "", inbounds: ["vless"], proxies: user.proxies },
    ];
    // Whether each is taken or refused is its own matter; the resident must not notice.
    for (const each of absurd) await node.grpc.syncChunked({ last: true, users: [each, user] }).catch(() => undefined);
    await put("/users/sync", toBinary(UsersSchema, create(UsersSchema, { users: [...absurd, user] })));
  });

  it("the log names no user", async () => {
    const bad = { email: "bad@example.org", inbounds: ["vless"], proxies: { vless: { id: "no uuid" } } };
    await node.grpc.syncUsers({ users: [user, bad] });
    await failureOf(node.grpc.stats({ type: 5, name: "stranger@example.org" }));
    expect(node.log()).toContain("vless");
    expect(node.log()).not.toContain("@example.org");
  });
});

it("a TLS hello to a node without TLS is told to use http, and its engine runs on", async () => {
  const plain = await startNode({ GARRISON_TLS: "off" });
  const ports = await freePorts(4);
  await plain.grpc.start({ config: nodeConfig(ports), users: [user] });
  const running = await engineOf(plain.pid);
  const { hostname: host, port } = new URL(plain.url);
  const hello = Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]), Buffer.alloc(600)]);
  const socket = connect({ host, port: Number(port) });
  socket.write(hello);
  expect(await text(socket)).toContain("This port does not speak TLS: use http.");
  expect(await engineOf(plain.pid)).toBe(running);
  expect(await plain.grpc.info()).toMatchObject({ started: true });
  await plain.close();
});
