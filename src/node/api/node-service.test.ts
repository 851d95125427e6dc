import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { beforeEach, describe, expect, it } from "vitest";
import { LatencySchema, NodeService, StatType } from "../../../gen/service/node_pb.ts";
import { createMemoryRuntime, type MemoryRuntime } from "../../../test/support/memory-runtime.ts";
import { createNodeService } from "./node-service.ts";

function serveInMemory() {
  const { runtime, engine, clock } = createMemoryRuntime();
  const service = createNodeService({ runtime, nodeVersion: "9.8.7" });
  const transport = createRouterTransport((router) => {
    for (const { method, impl } of service.methods) {
      router.rpc(method, impl, { interceptors: [...service.interceptors] });
    }
  });
  return { client: createClient(NodeService, transport), clock, engine };
}

let client: ReturnType<typeof serveInMemory>["client"];
let clock: MemoryRuntime["clock"];
let engine: MemoryRuntime["engine"];
beforeEach(() => {
  ({ client, clock, engine } = serveInMemory());
});

const backend = { config: '{"inbounds":["in"],"outbounds":["direct"]}', users: [{ email: "1", inbounds: ["in"] }] };
const emails = () => [...engine.users.keys()];
const refused = (call: Promise<unknown>): Promise<unknown> => call.then(() => "answered", ConnectError.from);
async function* stream<T>(...messages: T[]): AsyncGenerator<T> {
  yield* messages;
}

describe("without a backend", () => {
  it("the node tells its version", async () => {
    expect(await client.getBaseInfo({})).toMatchObject({ started: false, coreVersion: "", nodeVersion: "9.8.7" });
  });

  it.each<[string, (node: typeof client) => Promise<unknown>]>([
    ["Stop", (node) => node.stop({})],
    ["SyncUser", (node) => node.syncUser(stream({ email: "" }))],
    ["SyncUsers", (node) => node.syncUsers({})],
    ["SyncUsersChunked", (node) => node.syncUsersChunked(stream({}))],
    ["GetStats", (node) => node.getStats({ type: StatType.UserStat })],
    ["GetBackendStats", (node) => node.getBackendStats({})],
    ["GetSystemStats", (node) => node.getSystemStats({})],
    ["GetLogs", async (node) => Array.fromAsync(node.getLogs({}))],
    ["ListRoutingRules", (node) => node.listRoutingRules({})],
  ])("%s says so, whatever else is wrong", async (_, call) => {
    const answer = { code: Code.Unavailable, rawMessage: "backend not initialized" };
    expect(await refused(call(client))).toMatchObject(answer);
  });
});

describe("Start", () => {
  it("answers with both versions", async () => {
    expect(await client.start(backend)).toMatchObject({ started: true, coreVersion: "1.2.3", nodeVersion: "9.8.7" });
    expect(emails()).toEqual(["1"]);
  });

  it.each([
    [{ ...backend, config: "{" }, /^config: /],
    [{ ...backend, type: 7 as 0 }, /^invalid backend type$/],
  ])("is refused as Unknown, with the reason", async (request, text) => {
    expect(await refused(client.start(request))).toMatchObject({
      code: Code.Unknown,
      rawMessage: expect.stringMatching(text),
    });
  });

  it("goes on when the client leaves, while other calls are answered", async () => {
    const release = engine.holdStarts();
    const leaving = new AbortController();
    const start = refused(client.start(backend, { signal: leaving.signal }));
    await expect.poll(() => engine.state).toBe("starting");
    leaving.abort();
    expect(await start).toMatchObject({ code: Code.Canceled });
    expect(await client.getBaseInfo({})).toMatchObject({ started: false });
    expect(await refused(client.getBackendStats({}))).toMatchObject({
      code: Code.Unavailable,
      rawMessage: "core is not started yet",
    });
    release();
    await expect.poll(() => engine.state).toBe("running");
    expect(await client.getBaseInfo({})).toMatchObject({ started: true, coreVersion: "1.2.3" });
    expect(emails()).toEqual(["1"]);
  });
});

describe("user syncs", () => {
  beforeEach(() => client.start(backend));

  it("SyncUser applies each user, and fails at the first without an e-mail", async () => {
    await client.syncUser(stream({ email: "2", inbounds: ["in"] }, { email: "1" }));
    expect(emails()).toEqual(["2"]);
    const broken = client.syncUser(
      stream({ email: "3", inbounds: ["in"] }, { email: "" }, { email: "4", inbounds: ["in"] }),
    );
    expect(await refused(broken)).toMatchObject({ code: Code.Unknown, rawMessage: "email is required" });
    expect(emails()).toEqual(["2", "3"]);
  });

  it("SyncUser of nobody is answered", async () => {
    expect(await refused(client.syncUser(stream()))).toBe("answered");
  });

  it("SyncUsers replaces the set", async () => {
    await client.syncUsers({ users: [{ email: "2", inbounds: ["in"] }] });
    expect(emails()).toEqual(["2"]);
  });

  it("SyncUsersChunked leaves others alone", async () => {
    await client.syncUsersChunked(
      stream(
        { index: 1n, users: [{ email: "3", inbounds: ["in"] }] },
        { index: 0n, users: [{ email: "2", inbounds: ["in"] }] },
        { index: 2n, last: true },
      ),
    );
    expect(emails()).toEqual(["1", "2", "3"]);
  });

  it.each([
    ["missing final chunk indicator", [{ users: [{ email: "2", inbounds: ["in"] }] }]],
    ["missing chunk index 0", [{ index: 1n, last: true }]],
    ["no users received", [{ last: true }]],
  ])("SyncUsersChunked says %s", async (rawMessage, chunks) => {
    const answer = await refused(client.syncUsersChunked(stream(...chunks)));
    expect(answer).toMatchObject({ code: Code.InvalidArgument, rawMessage });
  });

  it("SyncUsersChunked answers after the last chunk although the client keeps its half open", async () => {
    const never = Promise.withResolvers<never>();
    async function* open() {
      yield { last: true, users: [{ email: "2", inbounds: ["in"] }] };
      await never.promise;
    }
    expect(await refused(client.syncUsersChunked(open()))).toBe("answered");
    expect(emails()).toEqual(["1", "2"]);
  });

  it.each<[string, (node: typeof client) => Promise<unknown>]>([
    ["SyncUser", (node) => node.syncUser(stream({ email: "bad", inbounds: ["in"] }))],
    ["SyncUsers", (node) => node.syncUsers({ users: [{ email: "bad", inbounds: ["in"] }] })],
    [
      "SyncUsersChunked",
      (node) => node.syncUsersChunked(stream({ last: true, users: [{ email: "bad", inbounds: ["in"] }] })),
    ],
  ])("%s words a rejection by the engine so that the client isolates the user", async (_, sync) => {
    engine.refuse = "bad";
    const answer = { code: Code.Internal, rawMessage: expect.stringMatching(/^failed to update users: bad on in/) };
    expect(await refused(sync(client))).toMatchObject(answer);
  });

  it("an engine that does not answer is no rejection", async () => {
    engine.hang();
    expect(await refused(client.syncUsers(backend))).toMatchObject({ code: Code.Unavailable });
  });

  it("a fault inside is no rejection", async () => {
    engine.updateUsers = () => Promise.reject(new TypeError("x is undefined"));
    const sync = client.syncUsersChunked(stream({ last: true, users: [{ email: "2", inbounds: ["in"] }] }));
    expect(await refused(sync)).toMatchObject({ code: Code.Internal, rawMessage: "internal error" });
  });
});

describe("stats", () => {
  beforeEach(async () => {
    await client.start(backend);
    engine.carry({ kind: "user", name: "1", uplinkBytes: 5n, downlinkBytes: 0n });
    engine.carry({ kind: "outbound", name: "direct", uplinkBytes: 6n, downlinkBytes: 0n });
  });
  const stats = async (request: Parameters<typeof client.getStats>[0]) =>
    (await client.getStats(request)).stats.map(({ name, type, link, value }) => [name, type, link, value]);

  it("UsersStat leaves zeros out and can be reset", async () => {
    expect(await stats({ type: StatType.UsersStat, reset: true })).toEqual([["1", "uplink", "traffic", 5n]]);
    expect(await stats({ type: StatType.UsersStat, reset: true })).toEqual([]);
  });

  it("of one outbound have both directions", async () => {
    expect(await stats({ type: StatType.Outbound, name: "direct" })).toEqual([
      ["direct", "uplink", "traffic", 6n],
      ["direct", "downlink", "traffic", 0n],
    ]);
  });

  it("of a known inbound that was not counted are empty, of an unknown one not found", async () => {
    expect(await stats({ type: StatType.Inbound, name: "in" })).toEqual([]);
    const answer = { code: Code.NotFound, rawMessage: "inbound not found" };
    expect(await refused(client.getStats({ type: StatType.Inbound, name: "out" }))).toMatchObject(answer);
  });

  it("of the engine are its own, or say that there are none", async () => {
    expect(await client.getBackendStats({})).toMatchObject({ uptime: 42 });
    engine.hang();
    expect(await refused(client.getBackendStats({}))).toMatchObject({
      code: Code.Unavailable,
      rawMessage: "failed to get sys stats: the program does not answer",
    });
  });
});

describe("who is online", () => {
  beforeEach(() => client.start(backend));

  it("is told by the number of addresses, and by address", async () => {
    engine.connected.set("1", { "192.0.2.1": 11n, "192.0.2.2": 12n });
    expect(await client.getUserOnlineStats({ name: "1" })).toMatchObject({ name: "1", value: 2n });
    const { name, ips } = await client.getUserOnlineIpListStats({ name: "1" });
    expect({ name, ips }).toEqual({ name: "1", ips: { "192.0.2.1": 11n, "192.0.2.2": 12n } });
  });

  it.each<[string, (name: string) => Promise<unknown>]>([
    ["GetUserOnlineStats", (name) => client.getUserOnlineStats({ name })],
    ["GetUserOnlineIpListStats", (name) => client.getUserOnlineIpListStats({ name })],
  ])("%s refuses those who never were, and nobody", async (_, call) => {
    const never = { code: Code.NotFound, rawMessage: "user>>>1>>>online not found." };
    expect(await refused(call("1"))).toMatchObject(never);
    expect(await refused(call(""))).toMatchObject({ code: Code.InvalidArgument, rawMessage: "email required" });
  });
});

describe("GetOutboundsLatency", () => {
  const latency = (name: string) => create(LatencySchema, { name, link: name, alive: true, delay: 5n });
  const measuredOf = async (name = "") => (await client.getOutboundsLatency({ name })).latencies.map((one) => one.name);

  it("is empty without a backend, and an error while one is on its way", async () => {
    expect(await measuredOf()).toEqual([]);
    await client.start(backend);
    engine.kill();
    expect(await refused(measuredOf())).toMatchObject({
      code: Code.Unavailable,
      rawMessage: "core is not started yet",
    });
  });

  it("sorts by name, and tells of one by its whole name", async () => {
    await client.start(backend);
    engine.measured = [latency("b"), latency("bb"), latency("a")];
    expect(await measuredOf()).toEqual(["a", "b", "bb"]);
    expect(await measuredOf("b")).toEqual(["b"]);
    expect(await measuredOf("c")).toEqual([]);
  });

  it("is Unknown where nothing is measured, and where the engine does not tell", async () => {
    await client.start(backend);
    const nothing = { code: Code.Unknown, rawMessage: "xray outbound latency is not available" };
    expect(await refused(measuredOf())).toMatchObject(nothing);
    engine.hang();
    const silent = { code: Code.Unknown, rawMessage: "read xray observatory: the program does not answer" };
    expect(await refused(measuredOf())).toMatchObject(silent);
  });
});

describe("GetLogs", () => {
  it("sends the engine's lines until the backend stops", async () => {
    await client.start(backend);
    engine.print("one");
    const lines = client.getLogs({})[Symbol.asyncIterator]();
    expect((await lines.next()).value).toMatchObject({ detail: "one" });
    engine.print("two");
    expect((await lines.next()).value).toMatchObject({ detail: "two" });
    await client.stop({});
    expect(await lines.next()).toMatchObject({ done: true });
  });
});

describe("keep_alive", () => {
  beforeEach(() => client.start({ ...backend, keepAlive: 10n }));
  const stateAfter = async (call: () => Promise<unknown>) => {
    for (let passed = 0; passed < 30; passed += 5) {
      await call();
      clock.advance(5_000);
    }
    return engine.state;
  };

  it.each<[string, (node: typeof client) => Promise<unknown>]>([
    ["GetBaseInfo", (node) => node.getBaseInfo({})],
    [
      "SyncUsersChunked",
      (node) => node.syncUsersChunked(stream({ last: true, users: [{ email: "2", inbounds: ["in"] }] })),
    ],
    ["SyncUser", (node) => node.syncUser(stream())],
  ])("%s keeps the backend up", async (_, call) => {
    expect(await stateAfter(() => call(client))).toBe("running");
  });

  it.each<[string, (node: typeof client) => Promise<unknown>]>([
    ["nothing", async () => undefined],
    ["a refused GetStats", (node) => refused(node.getStats({ type: StatType.UserStat }))],
    ["a refused SyncUsersChunked", (node) => refused(node.syncUsersChunked(stream()))],
    ["an unimplemented call", (node) => refused(node.listRoutingRules({}))],
  ])("%s does not", async (_, call) => {
    expect(await stateAfter(() => call(client))).toBe("stopped");
  });
});

it.each<[string, (node: typeof client) => Promise<unknown>]>([
  ["ListRoutingRules", (node) => node.listRoutingRules({})],
  ["GetBalancerInfo", (node) => node.getBalancerInfo({})],
  ["TestRoute", (node) => node.testRoute({})],
  ["AddRoutingRule", (node) => node.addRoutingRule({})],
  ["RemoveRoutingRule", (node) => node.removeRoutingRule({})],
  ["OverrideBalancerTarget", (node) => node.overrideBalancerTarget({})],
])("%s is answered Unimplemented where the engine routes nothing, whatever else is wrong", async (_, call) => {
  await client.start(backend);
  const answer = { code: Code.Unimplemented, rawMessage: "routing is only supported by the xray backend" };
  expect(await refused(call(client))).toMatchObject(answer);
});
