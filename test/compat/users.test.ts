import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import { create, type Message } from "@bufbuild/protobuf";
import { sizeDelimitedEncode, WireType } from "@bufbuild/protobuf/wire";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BackendSchema, type User, type UsersChunk, UsersChunkSchema, UsersSchema } from "../../gen/service/node_pb.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { engineOf } from "../support/child-processes.ts";
import { grpcClient, type NodeCaller } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { admitted } from "../support/users-online.ts";
import { type CompatNode, failureOf, startNode } from "./harness.ts";

let node: CompatNode;
let target: ByteTarget;
let ports: number[];
let engine: number;
const tags = proxyProtocols.map(({ name }) => name);

beforeAll(async () => {
  [node, target, ports] = await Promise.all([startNode(), startByteTarget(), freePorts(4)]);
});
beforeEach(async () => {
  await node.grpc.start({ config: nodeConfig(ports) });
  engine = await engineOf(node.pid);
});
afterAll(() => Promise.all([node.close(), target.close()]));

/** On which protocols a user gets through. */
async function through(user: User): Promise<string[]> {
  const entrances = proxyProtocols.map((protocol, i) => ({ protocol, port: ports[i] ?? 0, user }));
  const admissions = await admitted(entrances, target);
  return tags.filter((_, i) => admissions[i]);
}

/** With which of these users VLESS lets bytes through. */
async function throughVless(...users: User[]): Promise<boolean[]> {
  const protocol = proxyProtocols[0];
  if (protocol === undefined) throw new Error("no protocol");
  return admitted(
    users.map((user) => ({ protocol, port: ports[0] ?? 0, user })),
    target,
  );
}

async function* streamOf<T>(messages: Iterable<T>): AsyncGenerator<T> {
  yield* messages;
}

const over: [string, () => NodeCaller][] = [
  ["gRPC", () => node.grpc],
  ["REST", () => node.rest],
];

describe.each(over)("SyncUser over %s", (_, caller) => {
  it("32. a new user connects on every protocol, without a restart", async () => {
    const user = userOf("1", ...tags);
    expect(await through(user)).toEqual([]);
    await caller().syncUser(user);
    expect(await through(user)).toEqual(tags);
    expect(await engineOf(node.pid)).toBe(engine);
  });

  it("33. a user without inbounds is refused everywhere", async () => {
    const user = userOf("1", ...tags);
    await caller().syncUser(user);
    await caller().syncUser({ ...user, inbounds: [] });
    expect(await through(user)).toEqual([]);
  });

  it("34. new credentials replace the old ones", async () => {
    const [before, after] = [userOf("1", ...tags), userOf("1", ...tags)];
    await caller().syncUser(before);
    await caller().syncUser(after);
    expect(await through(before)).toEqual([]);
    expect(await through(after)).toEqual(tags);
  });

  it("35. tags that the config does not have are ignored", async () => {
    const user = userOf("1", "vless", "vless<=>vmess", "nowhere");
    await caller().syncUser(user);
    expect(await through(user)).toEqual(["vless"]);
  });

  it("36. and 97. a user with empty credentials is accepted and put nowhere", async () => {
    const empty = { vmess: {}, vless: {}, trojan: {}, shadowsocks: {}, wireguard: {}, hysteria: {}, masque: {} };
    await caller().syncUser({ email: "1", inbounds: tags, proxies: empty });
    await caller().syncUser({ email: "2", inbounds: tags });
    const other = userOf("3", ...tags);
    await caller().syncUser(other);
    expect(await through(other)).toEqual(tags);
  });

  it("80. and 99. unknown fields and epochs are ignored", async () => {
    const unknown = { no: 1_000, wireType: WireType.LengthDelimited, data: Uint8Array.of(3, 1, 2, 3) };
    const later = <T extends Message>(message: T): T => ({ ...message, userSyncEpoch: 7n, $unknown: [unknown] });
    const [first, second] = [later(userOf("1", "vless")), later(userOf("2", "vless"))];
    await caller().start(later(create(BackendSchema, { config: nodeConfig(ports), users: [first] })));
    await caller().syncUser(second);
    expect(await throughVless(first, second)).toEqual([true, true]);
    await caller().syncUsers(later(create(UsersSchema, { users: [second] })));
    await caller().syncChunked(later(create(UsersChunkSchema, { last: true, users: [first] })));
    expect(await throughVless(first, second)).toEqual([true, true]);
  });

  it("37. an empty e-mail is refused", async () => {
    const failure = await failureOf(caller().syncUser({ ...userOf("", "vless") }));
    expect(failure.text.trim()).toBe("email is required");
    expect(failure).toMatchObject(failure.status === undefined ? { code: Code.Unknown } : { status: 400 });
  });
});

describe("SyncUser", () => {
  it("38. a stream of 500 users is answered, and all are live", async () => {
    const users = Array.from({ length: 500 }, (_, i) => userOf(String(i), ...tags));
    await grpcClient(node).syncUser(streamOf(users));
    expect(await throughVless(...users.slice(-3))).toEqual([true, true, true]);
  });

  it("39. a stream of nobody is answered", async () => {
    await grpcClient(node).syncUser(streamOf([]));
  });

  it("51. garbage over REST is 400", async () => {
    const answer = await node.request("PUT", "/user/sync", undefined, Buffer.from("not a user"));
    expect([answer.status, answer.text]).toEqual([400, "Failed to decode user\n"]);
  });
});

describe.each(over)("SyncUsers over %s", (_, caller) => {
  it("42. an excluded inbound keeps its own clients, and gets none of ours", async () => {
    const [inline, synced] = [userOf("inline"), userOf("synced", "vless", "vmess")];
    const config = JSON.parse(nodeConfig(ports));
    const [vless, vmess] = config.inbounds;
    vless.settings.clients = [{ id: inline.proxies?.vless?.id, email: "inline" }];
    vmess.settings.clients = [{ id: inline.proxies?.vmess?.id, email: "inline" }];
    await caller().start({ config: JSON.stringify(config), excludeInbounds: ["vless"], users: [synced] });
    await caller().syncUsers({ users: [synced] });
    expect(await through(inline)).toEqual(["vless"]);
    expect(await through(synced)).toEqual(["vmess"]);
  });

  it("43. and 44. replaces the set, and keeps the engine", async () => {
    const [a, b, c] = [userOf("a", "vless"), userOf("b", "vless"), userOf("c", "vless")];
    await caller().start({ config: nodeConfig(ports), users: [a, c] });
    await caller().syncUsers({ users: [a, b] });
    expect(await throughVless(a, b, c)).toEqual([true, true, false]);
    await caller().syncUsers({ users: [a, b] });
    expect(await throughVless(a, b, c)).toEqual([true, true, false]);
    await caller().syncUsers({});
    expect(await throughVless(a, b, c)).toEqual([false, false, false]);
    expect(await engineOf(node.pid)).toBe(engine);
  });
});

describe.each(over)("SyncUsersChunked over %s", (_, caller) => {
  it.each([100, 101, 5_000])("45. and 46. %i users go live, others stay as they are", async (count) => {
    const resident = userOf("resident", "vless");
    await caller().syncUsers({ users: [resident] });
    const users = Array.from({ length: count }, (_, i) => userOf(String(i), "vless"));
    await caller().syncChunked({ index: 0n, last: true, users });
    const [first = resident, last = resident] = [users[0], users.at(-1)];
    expect(await throughVless(resident, first, last)).toEqual([true, true, true]);
    expect(await engineOf(node.pid)).toBe(engine);
  });

  it("47. chunks are ordered by their index", async () => {
    const users = [userOf("1", "vless"), userOf("1", "vless"), userOf("1", "vless")];
    const [first = userOf("1"), second = userOf("1"), third = userOf("1")] = users;
    await caller().syncChunked(
      { index: 1n, users: [second] },
      { index: 0n, users: [first] },
      { index: 2n, last: true, users: [third] },
    );
    // Of several with the same e-mail the last one counts.
    expect(await throughVless(first, second, third)).toEqual([false, false, true]);
  });

  it.each([
    ["47.", "missing chunk index 0", [{ index: 1n, last: true, users: [userOf("1", "vless")] }]],
    ["48.", "missing final chunk indicator", [{ users: [userOf("1", "vless")] }]],
    ["48.", "no users received", [{ last: true }]],
  ])("%s says %s", async (_number, text, chunks) => {
    const { status, code, text: said } = await failureOf(caller().syncChunked(...chunks));
    expect(said.trim()).toBe(text);
    expect(status ?? code).toBe(status === undefined ? Code.InvalidArgument : 400);
  });

  it("81. one user in one chunk is live at once", async () => {
    const user = userOf("1", "vless");
    const asked = performance.now();
    await caller().syncChunked({ last: true, users: [user] });
    expect(performance.now() - asked).toBeLessThan(500);
    expect(await throughVless(user)).toEqual([true]);
  });

  it("82. 1,200 users in twelve calls are live within 2 s", async () => {
    const users = Array.from({ length: 1_200 }, (_, i) => userOf(String(i), "vless"));
    const asked = performance.now();
    for (let i = 0; i < users.length; i += 100)
      await caller().syncChunked({ last: true, users: users.slice(i, i + 100) });
    expect(performance.now() - asked).toBeLessThan(2_000);
    expect(await throughVless(...users.slice(-1))).toEqual([true]);
    expect(await engineOf(node.pid)).toBe(engine);
  });

  it("89. the same batch again changes nothing", async () => {
    const users = Array.from({ length: 100 }, (_, i) => userOf(String(i), ...tags));
    for (let i = 0; i < 3; i += 1) await caller().syncChunked({ last: true, users });
    expect(await throughVless(users[0] ?? userOf("0"))).toEqual([true]);
    expect(await engineOf(node.pid)).toBe(engine);
  });
});

describe("SyncUsersChunked", () => {
  const frame = (users: User[], last = true) =>
    sizeDelimitedEncode(UsersChunkSchema, create(UsersChunkSchema, { users, last }));
  const put = (body: Uint8Array) => node.request("PUT", "/users/sync/chunked", undefined, body);

  it("49. a frame of zero length is skipped", async () => {
    const user = userOf("1", "vless");
    const answer = await put(Buffer.concat([Uint8Array.of(0), frame([user])]));
    expect([answer.status, answer.body.length]).toEqual([200, 0]);
    expect(await throughVless(user)).toEqual([true]);
  });

  it.each<[string, () => Uint8Array, string]>([
    ["a truncated frame", () => frame([userOf("1", "vless")]).subarray(0, -1), "failed to read chunk payload: "],
    ["an endless length", () => Buffer.alloc(11, 0xff), "failed to read chunk length: "],
    [
      "an absurd length",
      () => Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
      "failed to read chunk",
    ],
    ["garbage of the right length", () => Uint8Array.of(3, 0x0a, 0xff, 0xff), "failed to decode chunk: "],
  ])("49. %s is 400, and costs nothing", async (_, body, text) => {
    const answer = await put(body());
    expect(answer.status).toBe(400);
    expect(answer.text).toContain(text);
    expect(await node.rest.info()).toMatchObject({ started: true });
  });

  /** Sends a body over REST that never ends. Resolves with the status of the answer. */
  const putOpen = async (body: Uint8Array, signal: AbortSignal) => {
    const call = request(new URL("/users/sync/chunked", node.url), {
      method: "PUT",
      ca: node.ca,
      headers: { "x-api-key": node.key, "content-type": "application/x-protobuf" },
      agent: false,
      signal,
    });
    call.write(body);
    const [response] = (await once(call, "response")) as [IncomingMessage];
    call.on("error", () => undefined); // it is left
    return response.statusCode;
  };

  it("50. is answered although the client keeps its half open after the last chunk", async () => {
    const user = userOf("1", "vless");
    const never = Promise.withResolvers<never>();
    async function* open() {
      yield { last: true, users: [user] };
      await never.promise;
    }
    await grpcClient(node).syncUsersChunked(open());
    expect(await throughVless(user)).toEqual([true]);
    const leaving = new AbortController();
    const next = userOf("1", "vless");
    expect(await putOpen(frame([next]), leaving.signal)).toBe(200);
    leaving.abort();
    expect(await throughVless(user, next)).toEqual([false, true]);
  });

  it.each<[string, (chunk: UsersChunk, signal: AbortSignal) => Promise<unknown>]>([
    ["gRPC", (chunk, signal) => grpcClient(node).syncUsersChunked(streamOf([chunk]), { signal })],
    ["REST", (chunk, signal) => putOpen(sizeDelimitedEncode(UsersChunkSchema, chunk), signal)],
  ])("90. a call over %s that was reset and repeated ends, and the last state wins", async (_, send) => {
    const [before, after] = [userOf("1", "vless"), userOf("1", "vless")];
    const others = Array.from({ length: 2_000 }, (_, i) => userOf(`other-${i}`, "vless"));
    const leaving = new AbortController();
    const left = send(create(UsersChunkSchema, { last: true, users: [before, ...others] }), leaving.signal).catch(
      () => undefined,
    );
    await sleep(50);
    leaving.abort();
    await left;
    await node.grpc.syncChunked({ last: true, users: [after, ...others] });
    expect(await throughVless(before, after, ...others.slice(-1))).toEqual([false, true, true]);
  });
});
