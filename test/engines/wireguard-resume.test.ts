import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { create } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type User, UserSchema } from "../../gen/service/node_pb.ts";
import type { Engine, EngineExit, TrafficReading } from "../../src/node/engines/engine.ts";
import { type SystemTools, ToolFailed } from "../../src/node/engines/wireguard/host/system-tool.ts";
import { createPlanKeeper } from "../../src/node/engines/wireguard/kept-plan.ts";
import { createWireGuardEngine } from "../../src/node/engines/wireguard/wireguard-engine.ts";
import { makeNamespace, mayMakeNamespaces, type NetworkNamespace } from "../support/network-namespace.ts";
import { type NetworkTraffic, startTraffic } from "../support/network-traffic.ts";
import { makeKeys, startPeer, type WireGuardPeer } from "../support/wireguard-peer.ts";
import { wireGuardPath } from "../wireguard-path.ts";
import { isAlive, until } from "./engine-under-test.ts";

// An interface is left by one process of a node and found by the next: here by one object and the next.

const run = promisify(execFile);
const name = `gr${process.pid}`;
const server = makeKeys();
const [alice, bob, carol] = [makeKeys(), makeKeys(), makeKeys()];
const [port, echoPort] = [51_871, 7_007];

describe.skipIf(!(await mayMakeNamespaces()))("an interface that was left", () => {
  let network: NetworkNamespace;
  let outside: NetworkNamespace;
  let peer: WireGuardPeer;
  let inside: NetworkTraffic;
  let traffic: NetworkTraffic;
  let runDir: string;
  let stateFile: string;
  let last: UnderTest | undefined;

  beforeAll(async () => {
    network = await makeNamespace(1);
    outside = await makeNamespace(1, network);
    peer = await startPeer(outside, {
      name: `gp${process.pid}`,
      keys: alice,
      addresses: ["10.66.0.2/32"],
      behind: ["10.66.0.1/32"],
      server: { publicKey: server.publicKey, address: outside.outside.v4, port },
    });
    [inside, traffic] = await Promise.all([startTraffic(network), startTraffic(outside)]);
    await inside.serve({ host: "0.0.0.0", port: echoPort });
  });
  afterAll(async () => {
    await Promise.all([inside.close(), traffic.close()]);
    await peer.close();
    await outside.close();
    await network.close();
  });
  beforeEach(async () => {
    runDir = await mkdtemp(join(tmpdir(), "garrison-wireguard-"));
    stateFile = join(runDir, "state");
  });
  afterEach(async () => {
    await last?.engine.stop();
    last = undefined;
    await rm(runDir, { recursive: true });
  });

  interface UnderTest {
    readonly engine: Engine;
    readonly lines: string[];
    readonly exits: EngineExit[];
    readonly drained: TrafficReading[];
    readonly vanished: string[];
    pid(): Promise<number>;
  }

  async function open(kept: string | undefined = stateFile): Promise<UnderTest> {
    const [enter = "", ...inside] = network.enter;
    const executable = join(runDir, "wireguard-go");
    await writeFile(executable, `#!/bin/sh\nexec ${[enter, ...inside, await wireGuardPath()].join(" ")} "$@"\n`, {
      mode: 0o755,
    });
    // As the node uses them, but in there.
    const tools: SystemTools = async (program, args, input = "") => {
      const running = run(enter, [...inside, "sh", "-c", 'cat | "$0" "$@"', program, ...args]);
      running.child.stdin?.end(input);
      const { stdout } = await running.catch(({ stderr }) => {
        throw new ToolFailed(program, stderr.trim());
      });
      return stdout;
    };
    const told = { lines: [] as string[], exits: [] as EngineExit[], drained: [] as TrafficReading[] };
    const vanished: string[] = [];
    const engine = createWireGuardEngine({
      ...{ executable, env: process.env, runDir, tools, stateFile: kept, now: Date.now },
      ...{ hostRouting: undefined, egressInterface: undefined },
      events: {
        line: (line) => told.lines.push(line),
        stateChanged: () => undefined,
        exited: (exit) => told.exits.push(exit),
        restarted: () => undefined,
        drained: (reading) => told.drained.push(reading),
        vanished: (incarnation) => vanished.push(incarnation),
      },
    });
    last = {
      ...{ engine, ...told, vanished },
      pid: async () => JSON.parse(await readFile(join(runDir, "wireguard-process.json"), "utf8")).pid,
    };
    return last;
  }
  const leave = async () => {
    await last?.engine.close();
    last = undefined;
  };

  const user = (email: string, publicKey: string, ...peerIps: string[]): User =>
    create(UserSchema, { email, inbounds: [name], proxies: { wireguard: { publicKey, peerIps } } });
  const users = [user("alice", alice.publicKey, "10.66.0.2/32"), user("bob", bob.publicKey, "10.66.0.3/32")];
  const config = (more: object = {}) =>
    JSON.stringify({
      ...{ interface_name: name, private_key: server.privateKey, listen_port: port, address: ["10.66.0.1/24"] },
      ...more,
    });
  const request = (given: readonly User[] = users, more: object = {}) => ({
    ...{ config: config(more), users: given, excludeInbounds: [], keepAlive: 60n },
  });
  const ping = () => traffic.datagrams({ host: "10.66.0.1", port: echoPort, count: 3, bytes: 200 });
  /** As a client does that is turned off and on: it does not wait for an answer to what another interface was told. */
  const connect = async () => {
    await peer.beginAnew();
    await ping();
  };
  const peersOf = async () => {
    const { stdout } = await run("wg", ["show", name, "allowed-ips"]);
    return Object.fromEntries(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split("\t")),
    );
  };
  /** What the engine has counted of a user by each key: from the user, and to them. */
  const countedOf = async ({ engine }: UnderTest, email: string) => {
    const { counters } = await engine.readTraffic("user");
    return Object.fromEntries(
      counters.flatMap((counter) =>
        counter.name === email ? [[counter.link, [counter.uplinkBytes, counter.downlinkBytes]]] : [],
      ),
    );
  };
  /** What WireGuard itself has counted of a key. */
  const carriedBy = async (publicKey: string) => {
    const { stdout } = await run("wg", ["show", name, "transfer"]);
    const [, received = "", sent = ""] =
      stdout
        .split("\n")
        .find((line) => line.startsWith(publicKey))
        ?.split("\t") ?? [];
    return [BigInt(received), BigInt(sent)];
  };
  /** The engine has counted of a user's key what WireGuard has, which counts a moment after it has sent. */
  const countsAll = (under: UnderTest, email: string) =>
    vi.waitFor(async () =>
      expect(await countedOf(under, email)).toEqual({ [alice.publicKey]: await carriedBy(alice.publicKey) }),
    );
  const incarnationOf = async ({ engine }: UnderTest) => (await engine.readTraffic()).incarnation;

  test("is gone on with: nobody shakes hands again, and not a byte is missing", async () => {
    const first = await open();
    await first.engine.start(request());
    await connect();
    const [{ lastHandshake }, pid, incarnation] = [await peer.state(), await first.pid(), await incarnationOf(first)];
    await leave();
    await ping();

    const second = await open();
    expect(await second.engine.recover()).toMatchObject({ keepAlive: 60n });
    expect([second.engine.state, await second.pid(), second.engine.version]).toEqual([
      "running",
      pid,
      first.engine.version,
    ]);
    expect(await incarnationOf(second)).toBe(incarnation);
    expect([second.vanished, second.drained]).toEqual([[], []]);
    await ping();
    expect((await peer.state()).lastHandshake).toBe(lastHandshake);
    await countsAll(second, "alice");
    expect(await second.engine.replaceUsers(users)).toMatchObject({ skipped: [], rejected: [] });
    expect((await peer.state()).lastHandshake).toBe(lastHandshake);
    expect((await stat(stateFile)).mode & 0o777).toBe(0o600);
  });

  test("has the config and the users of the last change, and what was done behind its back is put right", async () => {
    const first = await open();
    await first.engine.start(request());
    await first.engine.start(request(users, { listen_port: port + 1, address: ["10.66.0.1/24", "fd66::1/64"] }));
    await first.engine.updateUsers([
      user("bob", bob.publicKey, "10.66.0.7/32", "fd66::7/128"),
      user("carol", carol.publicKey, "10.66.0.8/32"),
      user("elsewhere", "", "10.66.0.9/32"),
    ]);
    await first.engine.updateUsers([{ ...user("carol", carol.publicKey), inbounds: [] }]);
    const pid = await first.pid();
    await leave();
    await run("wg", ["set", name, "peer", alice.publicKey, "remove"]);
    await run("wg", ["set", name, "listen-port", `${port}`]);
    await run("wg", ["set", name, "peer", makeKeys().publicKey, "allowed-ips", "10.66.0.99/32"]);

    const second = await open();
    await second.engine.recover();
    expect(await second.pid()).toBe(pid);
    expect(await peersOf()).toEqual({
      [alice.publicKey]: "10.66.0.2/32",
      [bob.publicKey]: "10.66.0.7/32 fd66::7/128",
    });
    expect((await run("wg", ["show", name, "listen-port"])).stdout.trim()).toBe(`${port + 1}`);
    expect(["alice", "elsewhere", "carol"].map((email) => second.engine.knows("user", email))).toEqual([
      true,
      true,
      false,
    ]);
  });

  test("has the shared key of the plan for all its peers, where one was being changed", async () => {
    const [pre_shared_key, other] = [makeKeys().privateKey, makeKeys().privateKey];
    const first = await open();
    await first.engine.start(request(users, { pre_shared_key }));
    await leave();
    const keeper = createPlanKeeper(stateFile, () => undefined);
    await keeper.open();
    await keeper.disturb();
    await keeper.close();
    await run("sh", ["-c", `echo ${other} | wg set ${name} peer ${alice.publicKey} preshared-key /dev/stdin`]);

    const second = await open();
    await second.engine.recover();
    const { stdout } = await run("wg", ["show", name, "preshared-keys"]);
    expect(stdout.trim().split("\n").sort()).toEqual(
      [alice, bob].map(({ publicKey }) => `${publicKey}\t${pre_shared_key}`).sort(),
    );
  });

  test("counts nothing twice of a key that came back, or that somebody else has now", async () => {
    const first = await open();
    await first.engine.start(request());
    await connect();
    await countsAll(first, "alice");
    const { [alice.publicKey]: ofAlice = [] } = await countedOf(first, "alice");
    // The key is bob's from now on, and nobody shakes hands for that.
    await first.engine.updateUsers([{ ...user("alice", ""), inbounds: [] }]);
    await first.engine.updateUsers([user("bob", alice.publicKey, "10.66.0.2/32")]);
    await ping();
    await leave();
    const second = await open();
    await second.engine.recover();
    expect(await countedOf(second, "alice")).toEqual({ [alice.publicKey]: ofAlice });
    const all = await carriedBy(alice.publicKey);
    const [received = 0n, sent = 0n] = (await countedOf(second, "bob"))[alice.publicKey] ?? [];
    expect([received, sent]).toEqual(all.map((bytes, index) => bytes - (ofAlice[index] ?? 0n)));
    expect(received).toBeGreaterThan(0n);

    await second.engine.updateUsers([{ ...user("bob", ""), inbounds: [] }]);
    await until("the peer is gone", async () => !(alice.publicKey in (await peersOf())));
    await second.engine.updateUsers([user("bob", alice.publicKey, "10.66.0.2/32")]);
    await connect();
    await leave();
    const third = await open();
    await third.engine.recover();
    const since = await carriedBy(alice.publicKey);
    expect((await countedOf(third, "bob"))[alice.publicKey]).toEqual([
      received + (since[0] ?? 0n),
      sent + (since[1] ?? 0n),
    ]);
  });

  test("is made again with all its users when it has gone meanwhile, and what it took along is told", async () => {
    const first = await open();
    await first.engine.start(request());
    await connect();
    const [pid, incarnation] = [await first.pid(), await incarnationOf(first)];
    await leave();
    process.kill(pid, "SIGKILL");
    await until("it is dead", async () => !(await isAlive(pid)));
    const second = await open();
    expect(await second.engine.recover()).toMatchObject({ keepAlive: 60n });
    expect(second.engine.state).toBe("running");
    expect(second.vanished).toEqual([incarnation]);
    expect(await second.pid()).not.toBe(pid);
    expect(Object.keys(await peersOf()).sort()).toEqual([alice.publicKey, bob.publicKey].sort());
    await connect();
    await countsAll(second, "alice");
  });

  test("is ended by a node that keeps nothing, and by one whose state was damaged", async () => {
    const first = await open();
    await first.engine.start(request());
    const pid = await first.pid();
    await leave();
    const second = await open(join(runDir, "another state"));
    expect(await second.engine.recover()).toBeUndefined();
    expect([second.engine.state, await isAlive(pid)]).toEqual(["stopped", false]);
    await expect(peersOf()).rejects.toThrow();
    expect(second.lines).toContain(`[garrison] ends the wireguard-go that the last run has left, process ${pid}`);
  });

  test("that was stopped is not found again", async () => {
    const first = await open();
    await first.engine.start(request());
    await first.engine.stop();
    await leave();
    const second = await open();
    expect(await second.engine.recover()).toBeUndefined();
    expect(second.engine.state).toBe("stopped");
  });
});
