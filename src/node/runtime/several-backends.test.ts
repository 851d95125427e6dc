import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import { BackendSchema, BackendType, type User, UserSchema } from "../../../gen/service/node_pb.ts";
import type { MemoryEngine } from "../../../test/support/memory-engine.ts";
import { createMemoryRuntime, type MemoryRuntime } from "../../../test/support/memory-runtime.ts";
import { type Delivery, type DeliveryWatcher, immediateDelivery } from "../../platform/listener/delivery.ts";
import type { TrafficCounter } from "../engines/engine.ts";
import { EngineUnreachable } from "../engines/engine-error.ts";
import {
  BackendNotInitialized,
  CoreNotStarted,
  TrafficNotCounted,
  TrafficTargetUnknown,
  UserNeverOnline,
  UsersRejected,
} from "./situations.ts";

let memory: MemoryRuntime;
beforeEach(() => {
  memory = createMemoryRuntime();
});

const user = (email: string, ...inbounds: string[]): User => create(UserSchema, { email, inbounds });
const xrayConfig = '{"inbounds":["in"],"outbounds":["direct"]}';
const wireGuardConfig = '{"inbounds":["wg0"],"outbounds":["wg0"]}';
const start = (type: BackendType, init: MessageInitShape<typeof BackendSchema> = {}) => {
  const config = type === BackendType.XRAY ? xrayConfig : wireGuardConfig;
  return memory.runtime.start(create(BackendSchema, { type, config, ...init }));
};
const other = (): MemoryEngine => {
  if (memory.other === undefined) throw new Error("it was never wanted");
  return memory.other;
};
const carry = (engine: MemoryEngine, name: string, bytes: bigint, kind: TrafficCounter["kind"] = "user") =>
  engine.carry({ kind, name, uplinkBytes: bytes, downlinkBytes: 0n });
const read = async (name?: string, kind: TrafficCounter["kind"] = "user", reply?: Delivery) => {
  const query = { kind, name, reset: reply !== undefined };
  const counters = await memory.runtime.traffic(query, reply ?? immediateDelivery);
  return counters.map(({ name: of, link, uplinkBytes }) => `${of} ${link} ${uplinkBytes}`).sort();
};

describe("a backend that is loaded when it is wanted", () => {
  it("is not loaded for the other one, nor to be recovered when nothing was left of it", async () => {
    await memory.runtime.recover();
    await start(BackendType.XRAY);
    await memory.runtime.updateUsers([user("1", "in")]);
    await memory.runtime.stop();
    expect(memory.other).toBeUndefined();
  });

  it("runs alone as the other one does", async () => {
    await start(BackendType.WIREGUARD, { users: [user("1", "wg0")] });
    expect(memory.runtime.info).toMatchObject({ started: true, coreVersion: "1.2.3" });
    carry(other(), "1", 5n);
    expect(await read()).toEqual(["1 key 5"]);
    await expect(read(undefined, "inbound")).rejects.toThrow(TrafficNotCounted);
    await expect(read(undefined, "inbound")).rejects.toThrow("inbound stats not applicable for wireguard");
    await expect(read("2")).rejects.toThrow(TrafficTargetUnknown);
    await memory.runtime.stop();
    expect(memory.engine.starts).toBe(0);
    await expect(memory.runtime.stop()).rejects.toThrow(BackendNotInitialized);
  });
});

describe("with two backends", () => {
  beforeEach(async () => {
    await start(BackendType.XRAY, { users: [user("1", "in")] });
    await start(BackendType.WIREGUARD, { users: [user("2", "wg0")] });
  });

  it("a Start of one leaves the other as it runs, with its users", async () => {
    expect([...memory.engine.users.keys()]).toEqual(["1"]);
    expect([...other().users.keys()]).toEqual(["2"]);
    await start(BackendType.WIREGUARD, { config: '{"inbounds":["wg1"]}', users: [] });
    expect([...memory.engine.users.keys()]).toEqual(["1"]);
    expect(memory.engine.starts).toBe(1);
    expect(memory.runtime.info).toMatchObject({ started: true, coreVersion: "1.2.3, wireguard 1.2.3" });
  });

  it("both get the users, and what both refuse is told together", async () => {
    await memory.runtime.replaceUsers([user("3", "in"), user("4", "wg0")]);
    for (const engine of [memory.engine, other()]) expect([...engine.users.keys()]).toEqual(["3", "4"]);
    memory.engine.refuse = "a";
    other().refuse = "b";
    const rejected = [{ email: "a" }, { email: "b" }];
    const update = memory.runtime.updateUsers([user("a", "in"), user("b", "wg0")]);
    await expect(update).rejects.toMatchObject({ name: UsersRejected.name, rejected });
  });

  it("one that is away does not keep users from the other, but the caller from thinking that all is done", async () => {
    const revive = other().kill();
    expect(memory.runtime.info.started).toBe(false);
    await expect(memory.runtime.updateUsers([user("3", "in", "wg0")])).rejects.toThrow(CoreNotStarted);
    expect([...memory.engine.users.keys()]).toEqual(["1", "3"]);
    revive();
    await memory.runtime.updateUsers([user("3", "in", "wg0")]);
    expect(other().users.has("3")).toBe(true);
  });

  it("tells the traffic of both in one answer, and of one that is away what it had counted", async () => {
    carry(memory.engine, "1", 1n);
    carry(other(), "2", 2n);
    carry(memory.engine, "3", 3n);
    carry(other(), "3", 4n);
    expect(await read()).toEqual(["1 traffic 1", "2 key 2", "3 key 4", "3 traffic 3"]);
    expect(await read("1")).toEqual(["1 traffic 1"]);
    expect(await read(undefined, "inbound")).toEqual([]);
    const revive = other().hang();
    carry(other(), "2", 10n);
    carry(memory.engine, "1", 10n);
    expect(await read()).toEqual(["1 traffic 11", "2 key 2", "3 key 4", "3 traffic 3"]);
    revive();
    expect(await read("2")).toEqual(["2 key 12"]);
    memory.engine.hang();
    other().hang();
    await expect(read()).rejects.toThrow(EngineUnreachable);
  });

  it("one that is away is not taken for one that was never there", async () => {
    const revive = memory.engine.kill();
    await expect(read(undefined, "inbound")).rejects.toThrow(CoreNotStarted);
    expect(await read("1")).toEqual([]);
    await expect(read("nobody")).rejects.toThrow(TrafficTargetUnknown);
    revive();
    expect(await read(undefined, "inbound")).toEqual([]);
    await memory.engine.stop();
    await expect(read(undefined, "inbound")).rejects.toThrow(TrafficNotCounted);
    await expect(read("1")).rejects.toThrow(TrafficTargetUnknown);
  });

  it("a reset takes the bytes of both, or those of neither when its reply is lost", async () => {
    carry(memory.engine, "1", 1n);
    carry(other(), "2", 2n);
    const watched: DeliveryWatcher[] = [];
    const reply: Delivery = { ...immediateDelivery, watch: (watcher) => void watched.push(watcher) };
    expect(await read(undefined, "user", reply)).toEqual(["1 traffic 1", "2 key 2"]);
    expect(await read()).toEqual(["1 traffic 0", "2 key 0"]);
    for (const { lost } of watched) lost();
    expect(await read(undefined, "user", immediateDelivery)).toEqual(["1 traffic 1", "2 key 2"]);
    expect(await read()).toEqual(["1 traffic 0", "2 key 0"]);
  });

  it("what one had counted when it was stopped is told while the other runs", async () => {
    carry(other(), "2", 2n);
    await memory.runtime.stop();
    await start(BackendType.XRAY);
    expect(await read()).toEqual(["2 key 2"]);
    expect(await read("2", "user", immediateDelivery)).toEqual(["2 key 2"]);
    await expect(read("2")).rejects.toThrow(TrafficTargetUnknown);
  });

  it("a user is online where either sees them, at the newest time", async () => {
    memory.engine.connected.set("1", { "192.0.2.1": 5n, "192.0.2.2": 9n });
    other().connected.set("1", { "192.0.2.1": 7n });
    other().connected.set("2", { "192.0.2.3": 1n });
    expect(await memory.runtime.online("1")).toEqual({ "192.0.2.1": 7n, "192.0.2.2": 9n });
    expect(await memory.runtime.online("2")).toEqual({ "192.0.2.3": 1n });
    await expect(memory.runtime.online("3")).rejects.toThrow(UserNeverOnline);
  });

  it("both are stopped by one Stop, and the log ends with the last", async () => {
    const lines = memory.runtime.followLog(new AbortController().signal);
    other().print("from the other");
    await other().stop();
    memory.engine.print("still here");
    await memory.runtime.stop();
    const seen: string[] = [];
    for await (const line of lines) seen.push(line);
    expect(seen).toEqual(["from the other", "still here"]);
    expect(memory.runtime.info).toMatchObject({ started: false, coreVersion: "" });
    expect(() => memory.runtime.requireRunning()).toThrow(BackendNotInitialized);
  });

  it("each is stopped by its own keep_alive", async () => {
    await start(BackendType.WIREGUARD, { keepAlive: 10n });
    memory.clock.advance(15_000);
    expect(other().state).toBe("stopped");
    expect(memory.engine.state).toBe("running");
  });
});
