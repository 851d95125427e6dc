import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { UserSchema } from "../../gen/service/node_pb.ts";
import type { Engine } from "../../src/node/engines/engine.ts";
import { ToolFailed } from "../../src/node/engines/wireguard/host/system-tool.ts";
import { createWireGuardEngine } from "../../src/node/engines/wireguard/wireguard-engine.ts";
import { createKernelStandIn, type KernelStandIn } from "../support/kernel-stand-in.ts";

// There an interface is no process: it does not end, answers by `wg`, and can be taken away by anybody.

const name = "wgstandin";
const key = () => randomBytes(32).toString("base64");
const [privateKey, ofAlice, ofBob] = [key(), key(), key()];
const user = (email: string, publicKey: string, peerIp: string) =>
  create(UserSchema, { email, inbounds: [name], proxies: { wireguard: { publicKey, peerIps: [peerIp] } } });
const [alice, bob] = [user("alice", ofAlice, "10.8.0.2/32"), user("bob", ofBob, "10.8.0.3/32")];

let kernel: KernelStandIn;
let runDir: string;
let lines: string[];
let engine: Engine;
beforeEach(async () => {
  kernel = createKernelStandIn();
  runDir = await mkdtemp(join(tmpdir(), "garrison-wireguard-"));
  engine = open();
});
afterEach(async () => {
  kernel.failing = undefined;
  await engine.stop();
  await rm(runDir, { recursive: true });
});

function open(stateFile?: string, tools = kernel.tools): Engine {
  lines = [];
  return createWireGuardEngine({
    ...{ executable: undefined, env: process.env, runDir, tools, stateFile, now: Date.now },
    ...{ hostRouting: undefined, egressInterface: undefined, sampleSeconds: 0.01 },
    events: {
      line: (line) => lines.push(line),
      stateChanged: () => undefined,
      exited: () => undefined,
      restarted: () => undefined,
      drained: () => undefined,
    },
  });
}
const request = (more: object = {}) => ({
  config: JSON.stringify({ interface_name: name, private_key: privateKey, address: ["10.8.0.1/24"], ...more }),
  ...{ users: [alice], excludeInbounds: [] },
});

test("an interface that somebody has taken away comes back with its users", async () => {
  await engine.start(request());
  kernel.interfaces.delete(name);
  await vi.waitFor(() => expect(kernel.interfaces.get(name)?.peers.has(ofAlice)).toBe(true), 5_000);
  await vi.waitFor(() => expect(engine.state).toBe("running"));
});

test("one that does not answer, and cannot be taken away, is told, and comes back once it can", async () => {
  await engine.start(request());
  const index = kernel.interfaces.get(name)?.index;
  kernel.failing = "wg show";
  await vi.waitFor(() => {
    const link = kernel.interfaces.get(name);
    if (link !== undefined) link.alias = "somebody else's";
    expect(lines.join()).toContain("what does not answer any more cannot be taken away");
  }, 5_000);
  kernel.failing = undefined;
  kernel.interfaces.delete(name);
  await vi.waitFor(() => expect(engine.state).toBe("running"), 5_000);
  expect(kernel.interfaces.get(name)?.index).not.toBe(index);
});

test("where the one before cannot be taken away it stays in force, and a stop that fails is no end of all starts", async () => {
  await engine.start(request());
  kernel.failing = `ip link delete dev ${name}`;
  await expect(engine.start(request({ interface_name: "wgother" }))).rejects.toThrow("it was told to fail");
  kernel.failing = undefined;
  await vi.waitFor(() => expect(engine.state).toBe("running"), 5_000);
  expect([...kernel.interfaces.keys()]).toEqual([name]);

  kernel.failing = `ip link delete dev ${name}`;
  await expect(engine.stop()).rejects.toThrow("it was told to fail");
  kernel.failing = undefined;
  await engine.start(request());
  kernel.interfaces.delete(name);
  await vi.waitFor(() => expect(kernel.interfaces.get(name)?.peers.has(ofAlice)).toBe(true), 5_000);
});

test("a config that stands is in force though its users could not be set: who comes later is not lost", async () => {
  await engine.start(request());
  Object.assign(kernel, { failing: "wg addconf", complaint: "Unable to access interface: No such device" });
  const start = engine.start({ ...request({ listen_port: 51_999 }), users: [alice, bob] });
  await expect(start).rejects.toThrow("No such device");
  kernel.failing = undefined;
  await engine.updateUsers([bob]);
  kernel.interfaces.delete(name);
  const peers = () => [...(kernel.interfaces.get(name)?.peers.keys() ?? [])].sort();
  await vi.waitFor(() => expect(peers()).toEqual([ofAlice, ofBob].sort()), 5_000);
});

describe("a key that one change gives from one user to another stays theirs", () => {
  const ofCarol = key();
  const carol = user("carol", ofCarol, "10.8.0.4/32");
  const [aliceAnew, bobAnew] = [user("alice", ofBob, "10.8.0.3/32"), user("bob", ofAlice, "10.8.0.2/32")];
  const peers = () =>
    Object.fromEntries(Array.from(kernel.interfaces.get(name)?.peers ?? [], ([of, { ranges }]) => [of, ranges]));
  const exchanged = { [ofAlice]: "10.8.0.2/32", [ofBob]: "10.8.0.3/32" };

  test.each([
    ["where they exchange theirs", () => engine.replaceUsers([aliceAnew, bobAnew]), exchanged],
    ["whose name alone is another", () => engine.replaceUsers([bobAnew]), { [ofAlice]: "10.8.0.2/32" }],
    [
      "where who had it goes, and is named behind",
      () =>
        engine.updateUsers([bobAnew, create(UserSchema, { email: "alice" }), create(UserSchema, { email: "carol" })]),
      { [ofAlice]: "10.8.0.2/32" },
    ],
  ])("%s", async (_, change, expected) => {
    await engine.start({ ...request(), users: [alice, bob, carol] });
    expect(await change()).toEqual({ skipped: [], rejected: [] });
    // By then whoever has gone is counted a last time.
    await vi.waitFor(() => expect(peers()).not.toHaveProperty([ofCarol]), 5_000);
    expect(peers()).toEqual(expected);
  });

  test("where WireGuard takes them only one by one", async () => {
    engine = open(undefined, async (program, args, input = "") => {
      if (args[0] === "addconf" && input.split("[Peer]").length > 2)
        throw new ToolFailed(program, "one by one, please");
      return kernel.tools(program, args, input);
    });
    await engine.start(request());
    await engine.updateUsers([bob]);
    expect(await engine.replaceUsers([aliceAnew, bobAnew])).toEqual({ skipped: [], rejected: [] });
    expect(peers()).toEqual(exchanged);
  });
});

test("one that cannot be marked is not left behind", async () => {
  kernel.failing = `ip link set dev ${name} alias`;
  await expect(engine.start(request())).rejects.toThrow(`the interface ${name} cannot be made`);
  expect([...kernel.interfaces.keys()]).toEqual([]);
});

test("one that was left is gone on with, and one of another network is not taken for it, whatever its index", async () => {
  const stateFile = join(runDir, "state");
  const lifeOf = async () => ({
    incarnation: (await engine.readTraffic()).incarnation,
    index: kernel.interfaces.get(name)?.index,
  });
  engine = open(stateFile);
  await engine.start(request());
  const first = await lifeOf();
  await engine.close();
  engine = open(stateFile);
  await engine.recover();
  expect(await lifeOf()).toEqual(first);
  await engine.close();

  kernel.beginAnew();
  engine = open(stateFile);
  await engine.recover();
  const another = await lifeOf();
  expect(another.index).toBe(first.index);
  expect(another.incarnation).not.toBe(first.incarnation);
  expect(kernel.interfaces.get(name)?.peers.has(ofAlice)).toBe(true);
});

test.each([
  ["before its peer was taken away", (command: string, hasGone: boolean) => hasGone && command.startsWith("wg show")],
  ["as its peer was taken away", (command: string) => command.endsWith(`peer ${ofAlice} remove`)],
])("of a user who has gone nothing is lost or counted twice when the node is killed %s", async (_, isLast) => {
  const stateFile = join(runDir, "state");
  let hasGone = false;
  const killing = Promise.withResolvers<void>();
  const killed = open(
    stateFile,
    kernel.toolsUntil((command) => {
      const isOver = isLast(command, hasGone);
      if (isOver) killing.resolve();
      return isOver;
    }),
  );
  await killed.start(request());
  const peer = () => kernel.interfaces.get(name)?.peers.get(ofAlice);
  const carry = (bytes: bigint) => {
    const held = peer();
    if (held !== undefined) held.received += bytes;
  };
  carry(300n);
  expect((await killed.readTraffic("user")).counters).toMatchObject([{ name: "alice", uplinkBytes: 300n }]);
  carry(50n);
  await killed.updateUsers([{ ...alice, inbounds: [] }]);
  hasGone = true;
  await killing.promise;

  engine = open(stateFile);
  await engine.recover();
  expect(peer()).toBeUndefined();
  const counted = async () => (await engine.readTraffic("user")).counters;
  expect(await counted()).toMatchObject([{ name: "alice", uplinkBytes: 350n }]);
  await engine.updateUsers([alice]);
  carry(20n);
  expect(await counted()).toMatchObject([{ name: "alice", uplinkBytes: 370n }]);
});
