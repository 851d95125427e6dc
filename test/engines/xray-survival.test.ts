import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { EngineNotRunning, EngineUnreachable } from "../../src/node/engines/engine-error.ts";
import { exchange, startByteTarget } from "../support/byte-target.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { xrayPath } from "../xray-path.ts";
import { createEngineUnderTest, type EngineUnderTest, isAlive, until, watchersOf } from "./engine-under-test.ts";

let xray: EngineUnderTest;
let ports: number[];

beforeEach(async () => {
  xray = await createEngineUnderTest();
  ports = await freePorts(proxyProtocols.length);
});
afterEach(() => xray.close());

const everywhere = proxyProtocols.map(({ name }) => name);
const start = (users = [userOf("1", ...everywhere)]) =>
  xray.engine.start({ config: nodeConfig(ports), users, excludeInbounds: [] });

/** What listens on a port; undefined when it is taken. */
function listening(port: number): Promise<Server | undefined> {
  const server = createServer();
  return new Promise((resolve) => {
    server.on("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

describe("a killed engine", () => {
  test("is back at once, with all its users, those that came later too", async () => {
    await start([userOf("1", "vless"), userOf("gone", "vless")]);
    await xray.engine.updateUsers([userOf("2", "vless", "trojan"), userOf("gone")]);
    const { incarnation } = await xray.engine.readTraffic();
    const killed = performance.now();
    process.kill(await xray.pid(), "SIGKILL");
    await until("back", () => xray.restarts.length === 1);
    expect(performance.now() - killed).toBeLessThan(1_000);
    expect(xray.exits).toMatchObject([{ incarnation, code: null, signal: "SIGKILL", restartInMs: 0 }]);
    expect(xray.states).toEqual(["starting", "running", "restarting", "running"]);
    expect((await xray.engine.readTraffic()).incarnation).toBe(xray.restarts[0]);
    expect(await xray.usersOn("vless")).toEqual(["1", "2"]);
    expect(await xray.usersOn("trojan")).toEqual(["2"]);
    expect(await xray.engine.updateUsers([userOf("3", "vless")])).toEqual({ skipped: [], rejected: [] });
  });

  test("makes calls fail as those that come too early until it is back", async () => {
    await start();
    process.kill(await xray.pid(), "SIGKILL");
    await until("gone", () => xray.engine.state === "restarting");
    await expect(xray.engine.sysStats()).rejects.toThrow(EngineNotRunning);
    await expect(xray.engine.updateUsers([])).rejects.toThrow("core is not started yet");
    await until("back", () => xray.engine.state === "running");
    expect(await xray.engine.sysStats()).toBeDefined();
  });

  test("ends a change that is under way with an error that blames no user; the same change again completes it", async () => {
    await start([]);
    const users = Array.from({ length: 3_000 }, (_, index) => userOf(`${index}`, ...everywhere));
    const update = xray.engine.updateUsers(users).catch((error: unknown) => error);
    await until("some are set", async () => (await xray.usersOn("vless")).length > 10);
    process.kill(await xray.pid(), "SIGKILL");
    expect(await update).toBeInstanceOf(EngineUnreachable);
    await until("back", () => xray.restarts.length === 1);
    expect(await xray.engine.updateUsers(users)).toEqual({ skipped: [], rejected: [] });
    const held = await Promise.all(everywhere.map((tag) => xray.usersOn(tag)));
    expect(held.map(({ length }) => length)).toEqual([3_000, 3_000, 3_000, 3_000]);
  });

  test("is not started again when a stop comes first", async () => {
    await start();
    const pid = await xray.pid();
    process.kill(pid, "SIGKILL");
    await xray.engine.stop();
    await until("dead", async () => !(await isAlive(pid)));
    expect(xray.engine.state).toBe("stopped");
    expect(xray.restarts).toEqual([]);
  });

  test("that cannot come back is tried again later, and a start with another config does not wait for that", async () => {
    await start();
    // Who is first to take the port: this, or the Xray that comes back?
    let squatter: Server | undefined;
    for (let kills = 1; squatter === undefined; kills++) {
      await until("running", () => xray.engine.state === "running", 10_000);
      const pid = await xray.pid();
      process.kill(pid, "SIGKILL");
      await until("its port is free", async () => !(await isAlive(pid)));
      squatter = await listening(ports[0] ?? 0);
      await until("its end was noticed", () => xray.exits.length === kills);
    }
    // The more often it was killed the longer it waits.
    const isTold = () => xray.lines.some((line) => /xray did not come back, again in [\d.]+ s/.test(line));
    await until("a failure was told", isTold, 20_000);
    expect(xray.engine.state).toBe("restarting");
    ports = await freePorts(proxyProtocols.length);
    await start();
    expect(xray.engine.state).toBe("running");
    squatter.close();
  });
});

test("an engine that hangs is killed and comes back; one that is only slow for a while is left alone", async () => {
  await xray.close();
  xray = await createEngineUnderTest({ health: { periodMs: 50, timeoutMs: 50, failures: 10 } });
  await start();
  const pid = await xray.pid();
  process.kill(pid, "SIGSTOP");
  await sleep(300);
  process.kill(pid, "SIGCONT");
  await sleep(300);
  expect([await xray.pid(), xray.exits]).toEqual([pid, []]);
  process.kill(pid, "SIGSTOP");
  await until("back", () => xray.restarts.length === 1);
  expect(xray.exits).toMatchObject([{ signal: "SIGKILL", restartInMs: 0 }]);
  expect(await isAlive(pid)).toBe(false);
  expect(await xray.usersOn("vless")).toEqual(["1"]);
});

test("nobody's connection is dropped by changes of other users", async () => {
  const target = await startByteTarget();
  const user = userOf("1", "vless");
  await start([user]);
  const [vless] = proxyProtocols;
  const client = await startXrayClient([vless?.outbound(ports[0] ?? 0, user) ?? {}]);
  const socket = connect({ host: "127.0.0.1", port: client.proxyPorts[0] ?? 0 });
  let closed = false;
  socket.on("close", () => {
    closed = true;
  });
  socket.write(Uint8Array.of(5, 1, 0));
  await once(socket, "data");
  const others = Array.from({ length: 500 }, (_, index) => userOf(`other-${index}`, ...everywhere));
  await xray.engine.updateUsers(others);
  await xray.engine.replaceUsers([user, ...others.slice(100)]);
  await start([user]);
  await exchange(client.proxyPorts[0] ?? 0, target, 1_000, 1_000);
  expect(closed).toBe(false);
  socket.destroy();
  await client.close();
  await target.close();
});

describe("when the node dies", () => {
  let node: ChildProcess | undefined;
  afterEach(() => node?.kill("SIGKILL"));

  /** A process that runs an engine as a node does, and the pid of its Xray. */
  async function startNode(): Promise<number> {
    node = spawn(process.execPath, [new URL("node-to-kill.ts", import.meta.url).pathname], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, XRAY_EXECUTABLE_PATH: await xrayPath(), RUN_DIR: xray.runDir, CONFIG: nodeConfig(ports) },
    });
    if (node.stdout === null) throw new Error("no stdout");
    for await (const line of createInterface(node.stdout)) return Number(line);
    throw new Error("the node ended before its engine ran");
  }

  test.each(["SIGKILL", "SIGTERM", "SIGINT"] as const)(
    "by %s, Xray dies with it, and nobody keeps watching",
    async (signal) => {
      const pid = await startNode();
      expect(await isAlive(pid)).toBe(true);
      node?.kill(signal);
      await until("Xray is gone", async () => !(await isAlive(pid)), 2_000);
      await until("no watcher", async () => (await watchersOf(pid)).length === 0, 2_000);
      await start();
    },
  );

  test("a killed engine leaves no watcher behind", async () => {
    await start();
    const pid = await xray.pid();
    process.kill(pid, "SIGKILL");
    await until("back", () => xray.restarts.length === 1);
    await until("no watcher", async () => (await watchersOf(pid)).length === 0);
    expect(await watchersOf(await xray.pid())).toHaveLength(1);
  });
});
