import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import { BackendSchema, type BackendType, type User, UserSchema } from "../../../gen/service/node_pb.ts";
import { createMemoryRuntime, type MemoryRuntime } from "../../../test/support/memory-runtime.ts";
import { type Delivery, type DeliveryWatcher, immediateDelivery } from "../../platform/listener/delivery.ts";
import type { TrafficCounter } from "../engines/engine.ts";
import { ConfigRefused, StartFailed } from "../engines/engine-error.ts";
import type { Runtime } from "./runtime.ts";
import {
  BackendNotInitialized,
  CoreNotStarted,
  SysStatsFailed,
  TrafficTargetUnknown,
  UnknownBackendType,
  UsersRejected,
} from "./situations.ts";
import type { TrafficQuery } from "./traffic.ts";

let clock: MemoryRuntime["clock"];
let engine: MemoryRuntime["engine"];
let runtime: MemoryRuntime["runtime"];
let lines: MemoryRuntime["lines"];
beforeEach(() => {
  ({ clock, engine, runtime, lines } = createMemoryRuntime());
});

const here = new AbortController().signal;
const user = (email: string, ...inbounds: string[]): User => create(UserSchema, { email, inbounds });
const backend = (init: MessageInitShape<typeof BackendSchema> = {}) =>
  create(BackendSchema, { config: '{"inbounds":["in"],"outbounds":["direct"]}', ...init });
const carry = (name: string, up: bigint, kind: TrafficCounter["kind"] = "user") =>
  engine.carry({ kind, name, uplinkBytes: up, downlinkBytes: 0n });
const read = async (query: Partial<TrafficQuery> = {}, reply: Delivery = immediateDelivery) => {
  const counters = await runtime.traffic({ kind: "user", name: undefined, reset: false, ...query }, reply);
  return Object.fromEntries(counters.map(({ name, uplinkBytes }) => [name, uplinkBytes]));
};

describe("starting and stopping", () => {
  it("tells what runs, and what does not", async () => {
    expect(runtime.info).toEqual({ started: false, coreVersion: "" });
    await runtime.start(backend());
    expect(runtime.info).toEqual({ started: true, coreVersion: "1.2.3" });
    await runtime.stop();
    expect(runtime.info).toEqual({ started: false, coreVersion: "" });
  });

  it("knows no other kind of backend", async () => {
    await expect(runtime.start(backend({ type: 7 as BackendType }))).rejects.toThrow(UnknownBackendType);
  });

  it("keeps the running engine, its users and its keep_alive when a start fails", async () => {
    await runtime.start(backend({ users: [user("1", "in")], keepAlive: 10n }));
    await expect(runtime.start(backend({ config: "{", keepAlive: 1000n }))).rejects.toThrow(ConfigRefused);
    expect(runtime.info.started).toBe(true);
    expect([...engine.users.keys()]).toEqual(["1"]);
    clock.advance(15_000);
    expect(runtime.info.started).toBe(false);
  });

  it.each<[string, (runtime: Runtime) => unknown]>([
    ["updating users", (node) => node.updateUsers([])],
    ["replacing users", (node) => node.replaceUsers([])],
    ["reading traffic", () => read()],
    ["measures of the engine", (node) => node.engineStats()],
    ["measures of the machine", (node) => node.systemStats()],
    ["following the log", async (node) => node.followLog(here)],
  ])("%s needs a running engine", async (_, call) => {
    await expect(call(runtime)).rejects.toThrow(BackendNotInitialized);
    const release = engine.holdStarts();
    const start = runtime.start(backend());
    await expect(call(runtime)).rejects.toThrow(CoreNotStarted);
    release();
    await start;
    const revive = engine.kill();
    await expect(call(runtime)).rejects.toThrow(CoreNotStarted);
    revive();
    await call(runtime);
    await runtime.stop();
    await expect(call(runtime)).rejects.toThrow(BackendNotInitialized);
  });

  it("has no backend after a first start that failed", async () => {
    const release = engine.holdStarts();
    const start = runtime.start(backend());
    release("port taken");
    await expect(start).rejects.toThrow(StartFailed);
    expect(() => runtime.requireRunning()).toThrow(BackendNotInitialized);
    await expect(runtime.stop()).rejects.toThrow(BackendNotInitialized);
  });

  it("stops an engine that is on its way up, and one that is on its way back", async () => {
    engine.holdStarts();
    const start = runtime.start(backend());
    await runtime.stop();
    await expect(start).rejects.toThrow(StartFailed);
    engine.holdStarts()();
    await runtime.start(backend());
    engine.kill();
    await runtime.stop();
    expect(() => runtime.requireRunning()).toThrow(BackendNotInitialized);
  });

  it("says that the core is not started when the engine went away during a call", async () => {
    await runtime.start(backend());
    const reading = read();
    engine.kill()();
    await expect(reading).resolves.toEqual({});
    const again = read();
    engine.kill();
    await expect(again).rejects.toThrow(CoreNotStarted);
  });
});

describe("users", () => {
  beforeEach(() => runtime.start(backend({ users: [user("1", "in")] })));

  it("are updated one by one, and replaced as a whole", async () => {
    await runtime.updateUsers([user("2", "in"), user("1")]);
    expect([...engine.users.keys()]).toEqual(["2"]);
    await runtime.replaceUsers([user("3", "in")]);
    expect([...engine.users.keys()]).toEqual(["3"]);
  });

  it("that the engine refuses are named, and the others set", async () => {
    engine.refuse = "bad";
    const update = runtime.updateUsers([user("bad", "in"), user("2", "in")]);
    const rejected = [{ email: "bad", inbound: "in", reason: "User bad is unwelcome." }];
    await expect(update).rejects.toMatchObject({ name: UsersRejected.name, rejected });
    expect([...engine.users.keys()]).toEqual(["1", "2"]);
    await expect(runtime.replaceUsers([user("bad", "in")])).rejects.toThrow(UsersRejected);
  });

  it("that the engine refuses do not undo a start, and are named in its log: the answer cannot name them", async () => {
    engine.refuse = "bad";
    await runtime.start(backend({ users: [user("bad", "in"), user("2", "in")] }));
    expect([...engine.users.keys()]).toEqual(["2"]);
    const { value: line } = await lines.follow(here).next();
    expect(line).toBe("[garrison] user bad is left out of in: User bad is unwelcome.");
  });
});

describe("traffic", () => {
  beforeEach(() => runtime.start(backend({ users: [user("1", "in"), user("2", "in")] })));

  it("is counted once, however many read it at once", async () => {
    carry("1", 5n);
    const reads = await Promise.all(Array.from({ length: 10 }, () => read({ reset: true })));
    expect(reads.reduce((sum, counters) => sum + (counters["1"] ?? 0n), 0n)).toBe(5n);
    carry("1", 3n);
    expect(await read()).toEqual({ "1": 3n });
  });

  it("stays for the next reader when the reply is lost, and is nobody else's until that is known", async () => {
    const watchers: DeliveryWatcher[] = [];
    const onItsWay: Delivery = { watch: (watcher) => watchers.push(watcher), replaced: () => undefined };
    carry("1", 5n);
    expect(await read({ reset: true }, onItsWay)).toEqual({ "1": 5n });
    carry("1", 2n);
    expect(await read({ reset: true })).toEqual({ "1": 2n });
    for (const watcher of watchers) watcher.lost();
    expect(await read()).toEqual({ "1": 5n });
    expect(await read({ reset: true })).toEqual({ "1": 5n });
    expect(await read({ reset: true })).toEqual({ "1": 0n });
  });

  it("is not asked of a reply without reset", async () => {
    const unasked: Delivery = { watch: () => expect.unreachable(), replaced: () => undefined };
    carry("1", 5n);
    expect(await read({}, unasked)).toEqual({ "1": 5n });
  });

  it("survives a stop, a start, and a start with another config", async () => {
    carry("1", 5n);
    await runtime.start(backend({ config: "{}" }));
    carry("1", 6n);
    await runtime.stop();
    await runtime.start(backend());
    carry("1", 7n);
    expect(await read({ reset: true })).toEqual({ "1": 18n });
  });

  it("keeps what was read before the engine died", async () => {
    carry("1", 5n);
    await read();
    engine.kill()();
    carry("1", 2n);
    expect(await read({ reset: true })).toEqual({ "1": 7n });
  });

  it("of a known name is empty before anything is counted", async () => {
    expect(await read({ name: "1" })).toEqual({});
    expect(await read({ kind: "outbound", name: "direct" })).toEqual({});
    expect(await read({ kind: "inbound", name: "in" })).toEqual({});
  });

  it.each<TrafficCounter["kind"]>(["user", "inbound", "outbound"])("of an unknown %s is not found", async (kind) => {
    await expect(read({ kind, name: "nobody" })).rejects.toThrow(TrafficTargetUnknown);
  });

  it("of a removed user is found until the last bytes are taken", async () => {
    carry("1", 5n);
    await runtime.updateUsers([user("1"), user("2")]);
    expect(await read({ name: "1" })).toEqual({ "1": 5n });
    expect(await read({ name: "1", reset: true })).toEqual({ "1": 5n });
    await expect(read({ name: "1" })).rejects.toThrow(TrafficTargetUnknown);
    await expect(read({ name: "2" })).rejects.toThrow(TrafficTargetUnknown);
    carry("1", 1n); // connections of a removed user go on
    expect(await read({ name: "1" })).toEqual({ "1": 1n });
  });
});

describe("measures of the engine", () => {
  it("are the engine's own", async () => {
    await runtime.start(backend());
    expect(await runtime.engineStats()).toMatchObject({ numGoroutine: 7, uptime: 42 });
  });

  it("say so when the engine does not answer", async () => {
    await runtime.start(backend());
    const recover = engine.hang();
    await expect(runtime.engineStats()).rejects.toThrow(SysStatsFailed);
    await expect(runtime.engineStats()).rejects.toThrow("failed to get sys stats: the program does not answer");
    recover();
    await runtime.engineStats();
  });
});

describe("measures of the machine", () => {
  it("come with the engine's uptime, or with 0 when it does not tell", async () => {
    await runtime.start(backend());
    const stats = await runtime.systemStats();
    expect(stats).toMatchObject({ uptime: 42n });
    expect(stats.memTotal).toBeGreaterThan(0n);
    engine.hang();
    expect(await runtime.systemStats()).toMatchObject({ uptime: 0n, memTotal: stats.memTotal });
  });
});

describe("the log", () => {
  const follow = async () => Array.fromAsync(runtime.followLog(here));

  it("goes on when the engine restarts, and ends when the backend is stopped", async () => {
    await runtime.start(backend());
    engine.print("one");
    const [early, late] = [follow(), follow()];
    engine.kill()();
    engine.print("two");
    await runtime.start(backend({ config: "{}" }));
    engine.print("three");
    await runtime.stop();
    engine.print("nobody follows");
    expect(await early).toEqual(["one", "two", "three"]);
    expect(await late).toEqual(["one", "two", "three"]);
  });

  it("ends when the caller leaves", async () => {
    await runtime.start(backend());
    const leaving = new AbortController();
    const followed = Array.fromAsync(runtime.followLog(leaving.signal));
    leaving.abort();
    expect(await followed).toEqual([]);
  });
});

describe("keep_alive", () => {
  it("stops a backend that nobody asks for, and a start begins anew", async () => {
    await runtime.start(backend({ keepAlive: 10n }));
    clock.advance(9_000);
    runtime.touch();
    clock.advance(9_000);
    expect(runtime.info.started).toBe(true);
    clock.advance(6_000);
    expect(() => runtime.requireRunning()).toThrow(BackendNotInitialized);
    await runtime.start(backend());
    clock.advance(1_000_000);
    expect(runtime.info.started).toBe(true);
  });

  it("does not cut off a start that takes longer", async () => {
    await runtime.start(backend({ keepAlive: 10n }));
    const release = engine.holdStarts();
    const start = runtime.start(backend({ config: "{}", keepAlive: 10n }));
    clock.advance(60_000);
    release();
    await start;
    expect(runtime.info.started).toBe(true);
    clock.advance(15_000);
    expect(runtime.info.started).toBe(false);
  });

  it("leaves no timer behind", async () => {
    await runtime.start(backend({ keepAlive: 10n }));
    await runtime.stop();
    const idle = clock.timers;
    await runtime.start(backend({ keepAlive: 10n }));
    expect(clock.timers).toBe(idle + 1);
    await runtime.close();
    expect(clock.timers).toBe(0);
    expect(engine.state).toBe("stopped");
  });
});
