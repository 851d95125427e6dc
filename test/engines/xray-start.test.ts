import { once } from "node:events";
import { lstat, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ConfigRefused, EngineNotRunning, StartFailed } from "../../src/node/engines/engine-error.ts";
import { createXrayEngine } from "../../src/node/engines/xray/xray-engine.ts";
import { freePorts } from "../support/ports.ts";
import { answers } from "../support/proxy-client.ts";
import { nodeConfig, userOf } from "../support/proxy-protocols.ts";
import { createEngineUnderTest, type EngineUnderTest, isAlive, until, watchersOf } from "./engine-under-test.ts";

let xray: EngineUnderTest;
let ports: number[];
let config: string;

beforeEach(async () => {
  xray = await createEngineUnderTest();
  ports = await freePorts(4);
  config = nodeConfig(ports);
});
afterEach(() => xray.close());

const start = (text = config, users = [userOf("1", "vless", "vmess", "trojan", "shadowsocks")]) =>
  xray.engine.start({ config: text, users, excludeInbounds: [] });
const withPort = (text: string, port: number) => text.replaceAll(`"port":${ports[0]}`, `"port":${port}`);
/** The same with a part that Xray reads only when it starts. */
const withRestart = (text: string) => JSON.stringify({ ...JSON.parse(text), dns: { servers: ["localhost"] } });
const incarnation = async () => (await xray.engine.readTraffic()).incarnation;

/** A port that somebody else listens on. */
async function takenPort(): Promise<{ port: number; [Symbol.dispose](): void }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  return { port: address.port, [Symbol.dispose]: () => void server.close() };
}

describe("a start", () => {
  test("is done when the API answers and every inbound listens", async () => {
    const began = performance.now();
    expect(await start()).toEqual({ skipped: [], rejected: [] });
    expect(performance.now() - began).toBeLessThan(1_000);
    expect(await Promise.all(ports.map(answers))).toEqual([true, true, true, true]);
    expect(xray.engine.state).toBe("running");
    expect(xray.states).toEqual(["starting", "running"]);
    expect(xray.engine.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(await xray.engine.sysStats()).toMatchObject({ uptime: expect.any(Number) });
    expect(xray.lines.join("\n")).toContain(`Xray ${xray.engine.version}`);
  });

  test("shows the API to nobody else", async () => {
    await start();
    expect((await lstat(xray.runDir)).mode & 0o777).toBe(0o700);
    const socket = await lstat(join(xray.runDir, "xray-api.sock"));
    expect(socket.isSocket()).toBe(true);
    expect(socket.mode & 0o777).toBe(0o600);
  });

  test("tells Xray's secrets and the node's own to nobody through arguments or environment", async () => {
    const user = userOf("1", "trojan");
    await start(config, [user]);
    const pid = await xray.pid();
    const [args, environment] = await Promise.all(
      ["cmdline", "environ"].map((file) => readFile(`/proc/${pid}/${file}`, "latin1")),
    );
    expect(args).toMatch(/\0run\0-format\0json\0-c\0stdin:\0$/);
    expect(environment).toContain(`XRAY_LOCATION_ASSET=${xray.runDir}`);
    expect(environment).not.toMatch(/API_KEY|SSL_CERT_FILE|XRAY_LOCATION_CONFDIR/);
  });

  test.each([
    ["no JSON", () => "{", ConfigRefused, /^the config is not valid JSON/],
    [
      "a protocol that Xray does not know",
      () => config.replace('"vless"', '"nope"').replace('"vless"', '"nope"'),
      StartFailed,
      /^failed to start xray: Failed to start: .*unknown config id: nope/,
    ],
    [
      "a rule to a geo file that is not there",
      () =>
        JSON.stringify({ ...JSON.parse(config), routing: { rules: [{ ip: ["geoip:ru"], outboundTag: "direct" }] } }),
      StartFailed,
      /geoip\.dat/,
    ],
  ])("with %s says so, and leaves nothing running", async (_what, text, kind, words) => {
    const failure = await start(text()).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(kind);
    expect((failure as Error).message).toMatch(words);
    expect(xray.states).toEqual(["starting", "stopped"]);
    expect(await Promise.all(ports.map(answers))).toEqual([false, false, false, false]);
  });

  test("of a config with everything in it runs", async () => {
    const { inbounds, outbounds, policy } = JSON.parse(config);
    const everything = {
      log: { loglevel: "debug", access: "/nowhere/access.log", error: "/nowhere/error.log", dnsLog: true },
      api: { tag: "api", listen: "127.0.0.1:1", services: ["ReflectionService", "ObservatoryService", "NoService"] },
      metrics: { tag: "metrics" },
      dns: { servers: ["localhost"] },
      fakedns: [{ ipPool: "198.18.0.0/15", poolSize: 100 }],
      policy: { ...policy, levels: { 0: { statsUserOnline: true, connIdle: 1 } } },
      observatory: { subjectSelector: ["direct", "block"], probeURL: "http://127.0.0.1:1/", probeInterval: "1h" },
      routing: {
        domainStrategy: "AsIs",
        balancers: [{ tag: "all", selector: ["direct"], strategy: { type: "leastPing" } }],
        rules: [
          { ip: ["geoip:private"], outboundTag: "block" },
          { source: "geoip:private", network: "udp", balancerTag: "all" },
        ],
      },
      inbounds: [
        ...inbounds,
        {
          tag: "unix",
          listen: `${xray.runDir}/in.sock,0600`,
          protocol: "vless",
          settings: { decryption: "none", clients: [{ id: "not a client of ours" }] },
        },
      ],
      outbounds: [...outbounds, { tag: "dns", protocol: "dns" }],
      unknown: { kept: true },
    };
    await start(JSON.stringify(everything), [userOf("1", "vless", "unix")]);
    expect(await xray.usersOn("unix")).toEqual(["1"]);
    // The API's connection is idle for longer than the policy allows, and is opened again.
    await sleep(2_500);
    expect(await xray.engine.updateUsers([userOf("2", "unix")])).toEqual({ skipped: [], rejected: [] });
    expect(await xray.usersOn("unix")).toEqual(["1", "2"]);
  });

  test("needs no geo file for private networks", async () => {
    const routing = { rules: [{ ip: ["geoip:private"], outboundTag: "block" }] };
    await start(JSON.stringify({ ...JSON.parse(config), routing }));
    expect(xray.engine.state).toBe("running");
  });

  test.each(["inbound", "metrics"])(
    "with the port of its %s taken fails with Xray's own words, each time",
    async (what) => {
      using taken = await takenPort();
      const text =
        what === "inbound"
          ? withPort(config, taken.port)
          : JSON.stringify({ ...JSON.parse(config), metrics: { tag: "m", listen: `127.0.0.1:${taken.port}` } });
      for (let round = 0; round < 5; round++) {
        await expect(start(text)).rejects.toThrow(/^failed to start xray: Failed to start: .*address already in use/);
        expect(xray.engine.state).toBe("stopped");
      }
      await start();
    },
  );

  test("of a program that is missing or not Xray says so", async () => {
    const options = { assets: "/", env: {}, runDir: xray.runDir, events: silent };
    const none = createXrayEngine({ ...options, executable: join(xray.runDir, "none") });
    await expect(none.start({ config, users: [], excludeInbounds: [] })).rejects.toThrow(/cannot be run: .*ENOENT/);
    const script = join(xray.runDir, "script");
    await writeFile(script, "#!/bin/sh\necho out of order >&2\nexit 3\n", { mode: 0o700 });
    const other = createXrayEngine({ ...options, executable: script });
    await expect(other.start({ config, users: [], excludeInbounds: [] })).rejects.toThrow(
      "xray process stopped before API became ready (exit 3); recent xray logs: out of order",
    );
  });

  test("of a program that never answers is given up, and the program is gone", async () => {
    const script = join(xray.runDir, "script");
    await writeFile(script, "#!/bin/sh\necho $$\nexec sleep 60\n", { mode: 0o700 });
    const lines: string[] = [];
    const engine = createXrayEngine({
      executable: script,
      assets: "/",
      env: process.env,
      runDir: xray.runDir,
      startTimeoutMs: 200,
      events: { ...silent, line: (line) => lines.push(line) },
    });
    await expect(engine.start({ config, users: [], excludeInbounds: [] })).rejects.toThrow(
      /did not answer within 200 ms/,
    );
    expect(await isAlive(Number(lines[0]))).toBe(false);
  });

  test("in a directory where another engine runs is refused", async () => {
    await start();
    const engine = createXrayEngine({
      executable: "/bin/true",
      assets: "/",
      env: {},
      runDir: xray.runDir,
      events: silent,
    });
    await expect(engine.start({ config, users: [], excludeInbounds: [] })).rejects.toThrow(/is in use/);
    expect(await xray.engine.sysStats()).toBeDefined();
  });

  test("finds the API's socket free after a kill", async () => {
    await start();
    process.kill(await xray.pid(), "SIGKILL");
    await until("back", () => xray.restarts.length === 1);
    expect(await xray.engine.sysStats()).toBeDefined();
  });
});

describe("a start of a running engine", () => {
  test("with an equivalent config changes the users alone", async () => {
    await start(config, [userOf("1", "vless"), userOf("2", "vless")]);
    const before = await incarnation();
    const other = JSON.stringify(JSON.parse(config), undefined, 2);
    await start(other, [userOf("2", "vless"), userOf("3", "vless", "trojan")]);
    expect(await incarnation()).toBe(before);
    expect(await xray.usersOn("vless")).toEqual(["2", "3"]);
    expect(await xray.usersOn("trojan")).toEqual(["3"]);
    expect(xray.states).toEqual(["starting", "running"]);
  });

  test("with a config that cannot be changed live replaces it, after a last look at its counters", async () => {
    await start();
    const before = await incarnation();
    const [port = 0] = await freePorts(1);
    await start(withRestart(withPort(config, port)));
    expect(await incarnation()).not.toBe(before);
    expect(await Promise.all([port, ports[0] ?? 0].map(answers))).toEqual([true, false]);
    expect(xray.states).toEqual(["starting", "running", "restarting", "running"]);
    expect(xray.drained.map((reading) => reading.incarnation)).toEqual([before]);
    expect(await xray.usersOn("vless")).toEqual(["1"]);
    expect(xray.exits).toEqual([]);
  });

  test("with a config that Xray refuses leaves it untouched", async () => {
    await start();
    const before = await incarnation();
    const bad = config.replaceAll('"vless"', '"nope"');
    await expect(start(bad)).rejects.toThrow(ConfigRefused);
    await expect(start(bad)).rejects.toThrow(/^failed to start xray: Failed to start: .*unknown config id: nope/);
    await expect(start("{}x")).rejects.toThrow(ConfigRefused);
    expect(await incarnation()).toBe(before);
    expect(xray.states).toEqual(["starting", "running"]);
    expect(await xray.usersOn("vless")).toEqual(["1"]);
  });

  test.each([
    ["live", (text: string) => text],
    ["after a restart", withRestart],
  ])("that passes the test and cannot run %s brings the one before back, with its users", async (_how, change) => {
    await start(config, [userOf("1", "vless"), userOf("2", "trojan")]);
    await xray.engine.updateUsers([userOf("3", "vless")]);
    using taken = await takenPort();
    await expect(start(change(withPort(config, taken.port)), [userOf("9", "vless")])).rejects.toThrow(
      /^failed to start xray: .*address already in use/,
    );
    expect(xray.engine.state).toBe("running");
    expect(await xray.usersOn("vless")).toEqual(["1", "3"]);
    expect(await xray.usersOn("trojan")).toEqual(["2"]);
    expect([xray.engine.knows("user", "3"), xray.engine.knows("user", "9")]).toEqual([true, false]);
  });
});

describe("starts and stops at the same time", () => {
  test.each([
    ["live", 1, (text: string) => text],
    ["by a restart", 2, withRestart],
  ])("of two starts leave one engine, with the config of the second, taken %s", async (_how, engines, change) => {
    const [port = 0] = await freePorts(1);
    const incarnations = new Set<string>();
    await Promise.all([start(), start(change(withPort(config, port)))]);
    incarnations.add(await incarnation());
    for (const { incarnation } of xray.drained) incarnations.add(incarnation);
    expect(incarnations.size).toBe(engines);
    const pids = [...incarnations].map((name) => Number(name.split("/")[1]));
    expect((await Promise.all(pids.map(isAlive))).filter(Boolean)).toHaveLength(1);
    expect(await answers(port)).toBe(true);
  });

  test("end a start that is under way when a stop comes", async () => {
    const starting = start().catch((error: unknown) => error);
    await until("starting", () => xray.engine.state === "starting");
    await xray.engine.stop();
    expect(await starting).toBeInstanceOf(StartFailed);
    expect(xray.engine.state).toBe("stopped");
    expect(await Promise.all(ports.map(answers))).toEqual([false, false, false, false]);
    await start();
  });

  test("a stop while a start sets the users of a running engine ends the start as it ends any other", async () => {
    await start();
    const many = Array.from({ length: 3_000 }, (_, index) => userOf(`${index}`, "vless"));
    const again = start(config, many).catch((error: unknown) => error);
    while (xray.engine.knows("user", "999") === false) await sleep(0);
    await xray.engine.stop();
    const error = await again;
    expect(error).toBeInstanceOf(StartFailed);
    expect(`${error}`).toContain("stopped while xray was starting");
  });
});

describe("a stop", () => {
  test("does not wait for users who are being set", async () => {
    await start();
    const users = Array.from({ length: 20_000 }, (_, index) => userOf(`${index}`, "vless", "vmess", "trojan"));
    const update = xray.engine.updateUsers(users).catch((error: unknown) => error);
    await until("some are set", async () => (await xray.usersOn("vless")).length > 10);
    await xray.engine.stop();
    expect(await update).toBeInstanceOf(EngineNotRunning);
    expect(xray.states.at(-1)).toBe("stopped");
    await start();
  });

  test("leaves no process, watcher or socket", async () => {
    await start();
    const pid = await xray.pid();
    expect(await watchersOf(pid)).toHaveLength(1);
    await xray.engine.stop();
    expect(xray.engine.state).toBe("stopped");
    expect(await isAlive(pid)).toBe(false);
    await until("no watcher", async () => (await watchersOf(pid)).length === 0);
    await expect(lstat(join(xray.runDir, "xray-api.sock"))).rejects.toThrow("ENOENT");
    expect(xray.exits).toEqual([]);
    expect(xray.drained).toHaveLength(1);
  });

  test("makes every call that needs the engine fail, and forgets its users", async () => {
    await start();
    await xray.engine.stop();
    await xray.engine.stop();
    await expect(xray.engine.sysStats()).rejects.toThrow(EngineNotRunning);
    await expect(xray.engine.readTraffic()).rejects.toThrow("core is not started yet");
    await expect(xray.engine.updateUsers([])).rejects.toThrow(EngineNotRunning);
    await expect(xray.engine.replaceUsers([])).rejects.toThrow(EngineNotRunning);
    expect(xray.engine.knows("user", "1")).toBe(false);
    expect(xray.engine.knows("inbound", "vless")).toBe(false);
  });
});

test("names are known when config or users have them", async () => {
  await start(config, [userOf("1", "vless"), userOf("2", "elsewhere")]);
  const known = (kind: "user" | "inbound" | "outbound", ...names: string[]) =>
    names.filter((name) => xray.engine.knows(kind, name));
  expect(known("user", "1", "2", "3", "vless")).toEqual(["1", "2"]);
  expect(known("inbound", "vless", "trojan", "API_INBOUND", "direct")).toEqual(["vless", "trojan"]);
  expect(known("outbound", "direct", "block", "API", "vless")).toEqual(["direct", "block"]);
});

test("users are known whom the config itself has, on inbounds that the node does not touch", async () => {
  const text = JSON.parse(config);
  const [vless, trojan] = ["vless", "trojan"].map((tag) =>
    text.inbounds.find((each: { tag: string }) => each.tag === tag),
  );
  vless.settings.clients = [{ id: crypto.randomUUID(), email: "written" }];
  trojan.settings.clients = [{ password: "erased", email: "erased" }];
  await xray.engine.start({ config: JSON.stringify(text), users: [], excludeInbounds: ["vless"] });
  expect(["written", "erased"].filter((name) => xray.engine.knows("user", name))).toEqual(["written"]);
});

test("a directory that is too long for a socket is refused before anything runs", () => {
  const runDir = `/tmp/${"x".repeat(100)}`;
  expect(() => createXrayEngine({ executable: "/x", assets: "/", env: {}, runDir, events: silent })).toThrow(
    /too long/,
  );
});

const silent = {
  line: () => undefined,
  stateChanged: () => undefined,
  exited: () => undefined,
  restarted: () => undefined,
  drained: () => undefined,
};
