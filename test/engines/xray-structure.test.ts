import { execFile } from "node:child_process";
import { once } from "node:events";
import { link, lstat, rename, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer, type Server } from "node:net";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { User } from "../../gen/service/node_pb.ts";
import { ConfigRefused, StartFailed } from "../../src/node/engines/engine-error.ts";
import { type ByteTarget, exchange, startByteTarget } from "../support/byte-target.ts";
import { freePorts } from "../support/ports.ts";
import { answers, type ProxyClient } from "../support/proxy-client.ts";
import { nodeConfig, type ProxyProtocol, proxyProtocols } from "../support/proxy-protocols.ts";
import {
  connectSteadily,
  type EchoTarget,
  type SteadyConnection,
  startEchoTarget,
} from "../support/steady-connections.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { xrayPath } from "../xray-path.ts";
import { createEngineUnderTest, type EngineUnderTest, until } from "./engine-under-test.ts";
import { createHysteria, shadowsocks2022, userOfAll as userOf } from "./more-protocols.ts";

const protocols = [...proxyProtocols, shadowsocks2022, await createHysteria()];
const tags = protocols.map(({ name }) => name);

interface Handler {
  [key: string]: unknown;
}
interface Document {
  inbounds: Handler[];
  outbounds: Handler[];
  routing?: { rules?: Handler[]; balancers?: Handler[]; domainStrategy?: string };
  [key: string]: unknown;
}

let xray: EngineUnderTest;
let ports: number[];
let config: Document;
let incarnation: string;
let echo: EchoTarget;
let bytes: ByteTarget;
let client: ProxyClient;
let steady: SteadyConnection[];
const user = userOf("steady", ...tags);
const done = { skipped: [], rejected: [] };

// One user is connected through every inbound while the structure changes.
beforeEach(async () => {
  [xray, ports, echo, bytes] = await Promise.all([
    createEngineUnderTest(),
    freePorts(protocols.length),
    startEchoTarget(),
    startByteTarget(),
  ]);
  config = JSON.parse(nodeConfig(ports, protocols));
  await start(config);
  ({ incarnation } = await xray.engine.readTraffic());
  client = await startXrayClient(protocols.map((protocol, index) => protocol.outbound(ports[index] ?? 0, user)));
  steady = await Promise.all(client.proxyPorts.map((port) => connectSteadily(port, echo)));
});
afterEach(async () => {
  for (const connection of steady) connection.close();
  await client.close();
  await Promise.all([xray.close(), echo.close(), bytes.close()]);
});

function start(document: object, users: readonly User[] = [user]) {
  return xray.engine.start({ config: JSON.stringify(document), users, excludeInbounds: [] });
}

/** Nobody was disconnected, but for those of these inbounds, who may have been. */
async function expectNoneDropped(but: readonly string[] = []): Promise<void> {
  expect((await xray.engine.readTraffic()).incarnation).toBe(incarnation);
  expect(xray.states).toEqual(["starting", "running"]);
  await Promise.all(steady.filter((_, index) => !but.includes(tags[index] ?? "")).map((one) => one.carries()));
}

/** The inbounds through which bytes can be had now, by one more client that uses these ports. */
async function carrying(used: readonly ProxyProtocol[], usedPorts: readonly number[], who = user): Promise<string[]> {
  const other = await startXrayClient(used.map((protocol, index) => protocol.outbound(usedPorts[index] ?? 0, who)));
  const results = await Promise.allSettled(other.proxyPorts.map((port) => exchange(port, bytes, 1_000, 1_000)));
  await other.close();
  return used.filter((_, index) => results[index]?.status === "fulfilled").map(({ name }) => name);
}

const free = async () => (await freePorts(1))[0] ?? 0;
const without = (tag: string) => config.inbounds.filter((inbound) => inbound.tag !== tag);

describe("inbounds of a running Xray", () => {
  test("come with their users, and go, while all others stay", async () => {
    const port = await free();
    const added = { ...proxyProtocols[0]?.inbound(port), tag: "more" };
    const both = userOf("both", "vless", "more");
    expect(await start({ ...config, inbounds: [added, ...config.inbounds] }, [user, both])).toEqual(done);
    expect(await xray.usersOn("more")).toEqual(["both"]);
    expect(await xray.usersOn("vless")).toEqual(["both", "steady"]);
    expect(await carrying(proxyProtocols.slice(0, 1), [port], both)).toEqual(["vless"]);
    expect(xray.engine.knows("inbound", "more")).toBe(true);
    expect(await xray.engine.updateUsers([userOf("third", "more")])).toEqual(done);
    expect(await xray.usersOn("more")).toEqual(["both", "third"]);

    expect(await start(config)).toEqual(done);
    expect(await answers(port)).toBe(false);
    expect(await xray.usersOn("vless")).toEqual(["steady"]);
    expect(xray.engine.knows("inbound", "more")).toBe(false);
    await expectNoneDropped();
  });

  test.each(tags)("%s moves to another port with all its users", async (tag) => {
    const port = await free();
    const index = tags.indexOf(tag);
    const inbounds = config.inbounds.map((inbound) => (inbound.tag === tag ? { ...inbound, port } : inbound));
    const more = Array.from({ length: 30 }, (_, number) => userOf(`${number}`, tag));
    expect(await start({ ...config, inbounds }, [user, ...more])).toEqual(done);
    expect(await carrying(protocols.slice(index, index + 1), [port], more[29])).toEqual([tag]);
    expect(await xray.usersOn(tag)).toHaveLength(31);
    await expectNoneDropped([tag]);
  });

  test.each(tags)("%s changes in its place, on the same port", async (tag) => {
    const index = tags.indexOf(tag);
    const sniffing = { enabled: true, destOverride: ["tls"] };
    const inbounds = config.inbounds.map((inbound) => (inbound.tag === tag ? { ...inbound, sniffing } : inbound));
    expect(await start({ ...config, inbounds }, [user, userOf("late", tag)])).toEqual(done);
    expect(await carrying(protocols.slice(index, index + 1), ports.slice(index))).toEqual([tag]);
    expect(await xray.usersOn(tag)).toEqual(["late", "steady"]);
    await expectNoneDropped([tag]);
  });

  test("exchange their ports", async () => {
    const [a, b, ...rest] = config.inbounds;
    const swapped = [{ ...a, port: ports[1] }, { ...b, port: ports[0] }, ...rest];
    expect(await start({ ...config, inbounds: swapped })).toEqual(done);
    expect(await carrying(proxyProtocols.slice(0, 2), [ports[1] ?? 0, ports[0] ?? 0])).toEqual(["vless", "vmess"]);
    await expectNoneDropped(["vless", "vmess"]);
  });

  test("in another order are the same", async () => {
    expect(await start({ ...config, inbounds: config.inbounds.toReversed() })).toEqual(done);
    await expectNoneDropped();
  });

  test("open a unix socket that a killed Xray has left, and leave none behind", async () => {
    const path = `${xray.runDir}/more.sock`;
    const server = createServer().listen(path);
    await once(server, "listening");
    // Node unlinks its socket when it closes; a name for the same file stays.
    await link(path, `${path}.kept`);
    server.close();
    await rename(`${path}.kept`, path);
    const inbound = { tag: "unix", listen: path, protocol: "vless", settings: { decryption: "none" } };
    expect(await start({ ...config, inbounds: [...config.inbounds, inbound] })).toEqual(done);
    await expectNoneDropped();
    process.kill(await xray.pid(), "SIGKILL");
    await until("back", () => xray.restarts.length === 1);
    expect(await xray.usersOn("unix")).toEqual([]);
    await xray.engine.stop();
    await expect(lstat(path)).rejects.toThrow(/ENOENT/);
  });

  test("on a unix socket change in its place", async () => {
    const unix = {
      tag: "unix",
      listen: `${xray.runDir}/more.sock`,
      protocol: "vless",
      settings: { decryption: "none" },
    };
    expect(await start({ ...config, inbounds: [...config.inbounds, unix] })).toEqual(done);
    const sniffing = { ...unix, sniffing: { enabled: true, destOverride: ["tls"] } };
    const late = userOf("late", "unix");
    expect(await start({ ...config, inbounds: [...config.inbounds, sniffing] }, [user, late])).toEqual(done);
    expect(await xray.usersOn("unix")).toEqual(["late"]);
    expect((await lstat(unix.listen)).isSocket()).toBe(true);
    await expectNoneDropped();
  });

  test("with more users than one call can bring get them all", { timeout: 60_000 }, async () => {
    const crowd = Array.from({ length: 50_000 }, (_, index) => userOf(`${index}`, "more"));
    const more = { ...config.inbounds[0], tag: "more", port: await free() };
    expect(await start({ ...config, inbounds: [...config.inbounds, more] }, [user, ...crowd])).toEqual(done);
    expect(await xray.usersOn("more")).toHaveLength(50_000);
    await expectNoneDropped();
  });

  test("that were changed live come back after a kill", async () => {
    const port = await free();
    const inbounds = [...without("vless"), { ...config.inbounds[0], port }];
    await start({ ...config, inbounds }, [user, userOf("late", "vless")]);
    await expectNoneDropped(["vless"]);
    process.kill(await xray.pid(), "SIGKILL");
    await until("back", () => xray.restarts.length === 1);
    expect(await carrying(proxyProtocols.slice(0, 1), [port])).toEqual(["vless"]);
    expect(await xray.usersOn("vless")).toEqual(["late", "steady"]);
  });
});

describe("outbounds and rules of a running Xray", () => {
  /** An outbound that leads every connection to the byte target's double. */
  const redirect = (tag: string, port: number) => ({
    tag,
    protocol: "freedom",
    settings: { redirect: `127.0.0.1:${port}`, finalRules: [{ action: "allow" }] },
  });
  const served = () => carrying(proxyProtocols, ports);

  test("send new connections elsewhere at once, and leave those that stand", async () => {
    const { inbounds, outbounds } = config;
    const dead = redirect("dead", await free());
    const rules = [{ inboundTag: ["vless", "trojan"], outboundTag: "dead" }];
    expect(await start({ ...config, outbounds: [...outbounds, dead], routing: { rules } })).toEqual(done);
    expect(await served()).toEqual(["vmess", "shadowsocks"]);
    expect(xray.engine.knows("outbound", "dead")).toBe(true);

    // The same outbound leads somewhere now.
    const alive = redirect("dead", bytes.port);
    expect(await start({ ...config, outbounds: [...outbounds, alive], routing: { rules } })).toEqual(done);
    expect(await served()).toEqual(["vless", "vmess", "trojan", "shadowsocks"]);

    const balancers = [{ tag: "all", selector: ["blo"] }];
    const routing = { rules: [{ inboundTag: ["vmess"], balancerTag: "all" }], balancers };
    expect(await start({ inbounds, outbounds, policy: config.policy, log: config.log, routing })).toEqual(done);
    expect(await served()).toEqual(["vless", "trojan", "shadowsocks"]);

    expect(await start(config)).toEqual(done);
    expect(await served()).toEqual(["vless", "vmess", "trojan", "shadowsocks"]);
    await expectNoneDropped();
  });

  test("have another default, and the one before back", async () => {
    const [direct = {}, block = {}] = config.outbounds;
    expect(await start({ ...config, outbounds: [block, direct] })).toEqual(done);
    expect(await served()).toEqual([]);
    const dead = redirect("dead", await free());
    expect(await start({ ...config, outbounds: [dead, block, direct] })).toEqual(done);
    expect(await served()).toEqual([]);
    expect(await start({ ...config, outbounds: [redirect("dead", bytes.port), block] })).toEqual(done);
    expect(await served()).toHaveLength(4);
    expect(await start(config)).toEqual(done);
    expect(await served()).toHaveLength(4);
    await expectNoneDropped();
  });
});

describe("a change that fails", () => {
  async function takenPort(): Promise<Server & { port: number }> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return Object.assign(server, { port: (server.address() as AddressInfo).port });
  }

  test("midway is taken back whole, and says why in Xray's words", async () => {
    const taken = await takenPort();
    const [direct = {}, block = {}] = config.outbounds;
    const changed = {
      ...config,
      // Everything that comes before the step that fails: the default, rules, a port, a whole inbound.
      outbounds: [{ ...block, tag: "nowhere" }, direct],
      routing: { rules: [{ inboundTag: ["vmess"], outboundTag: "nowhere" }] },
      inbounds: [
        { ...config.inbounds[1], port: await free() },
        ...config.inbounds.slice(2),
        { ...config.inbounds[0], tag: "late", port: taken.port },
      ],
    };
    const failure = await start(changed, [userOf("other", ...tags)]).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StartFailed);
    expect(String(failure)).toMatch(/failed to start xray: .*address already in use/);
    expect(await carrying(protocols, ports)).toEqual(tags);
    expect(await Promise.all(tags.map((tag) => xray.usersOn(tag)))).toEqual(tags.map(() => ["steady"]));
    expect(xray.engine.knows("inbound", "late")).toBe(false);
    expect(xray.engine.knows("outbound", "block")).toBe(true);
    await expectNoneDropped(["vless", "vmess"]);

    taken.close();
    expect(await start(changed)).toEqual(done);
    expect(await answers(taken.port)).toBe(true);
  });

  test("and cannot be taken back ends with the config before, started again as soon as it can be", async () => {
    const { stdout } = await promisify(execFile)(await xrayPath(), ["tls", "cert", "--domain=localhost"]);
    const { certificate, key } = JSON.parse(stdout);
    const [certificateFile, keyFile] = [`${xray.runDir}/cert.pem`, `${xray.runDir}/key.pem`];
    await Promise.all([writeFile(certificateFile, certificate.join("\n")), writeFile(keyFile, key.join("\n"))]);
    const port = await free();
    const secured = {
      ...config.inbounds[0],
      tag: "secured",
      port,
      streamSettings: {
        network: "tcp",
        security: "tls",
        tlsSettings: { certificates: [{ certificateFile, keyFile }] },
      },
    };
    const before = { ...config, inbounds: [...config.inbounds, secured] };
    expect(await start(before)).toEqual(done);
    await rename(certificateFile, `${certificateFile}.away`);

    const taken = await takenPort();
    const open = { ...config.inbounds[0], tag: "secured", port: await free() };
    const late = { ...config.inbounds[0], tag: "late", port: taken.port };
    const failure = start({ ...config, inbounds: [...config.inbounds, open, late] }, [userOf("other", "late")]);
    await expect(failure).rejects.toThrow(/address already in use/);
    taken.close();
    expect(xray.engine.state).toBe("restarting");
    await rename(`${certificateFile}.away`, certificateFile);
    await until("back", () => xray.engine.state === "running", 10_000);
    expect(await Promise.all([port, open.port, late.port].map(answers))).toEqual([true, false, false]);
    expect(await carrying(protocols, ports)).toEqual(tags);
    expect(xray.engine.knows("inbound", "late")).toBe(false);
  });

  test("the test of the config changes nothing", async () => {
    const inbounds = [...config.inbounds, { tag: "bad", protocol: "nope", listen: "127.0.0.1", port: await free() }];
    await expect(start({ ...config, inbounds })).rejects.toThrow(ConfigRefused);
    const rules = [{ balancerTag: "none", network: "tcp" }];
    await expect(start({ ...config, routing: { rules } })).rejects.toThrow(/balancer none not found/);
    expect(await carrying(protocols, ports)).toEqual(tags);
    await expectNoneDropped();
  });

  test("because Xray dies ends with the config before, and its users", async () => {
    const port = await free();
    const inbounds = [...config.inbounds, { ...config.inbounds[0], tag: "late", port }];
    const pid = await xray.pid();
    const starting = start({ ...config, inbounds }).catch((error: unknown) => error);
    setTimeout(() => process.kill(pid, "SIGKILL"), 20);
    const outcome = await starting;
    await until("running", () => xray.engine.state === "running");
    // Before the change began, the new config was started instead.
    expect(await answers(port)).toBe(!(outcome instanceof Error));
    expect(await carrying(protocols, ports)).toEqual(tags);
  });
});

describe("what cannot be changed live", () => {
  test.each<[string, (document: Document) => Document]>([
    ["dns", (document) => ({ ...document, dns: { servers: ["localhost"] } })],
    ["log", (document) => ({ ...document, log: { loglevel: "debug" } })],
    ["policy", (document) => ({ ...document, policy: { levels: { 0: { connIdle: 100 } } } })],
    ["domainStrategy", (document) => ({ ...document, routing: { domainStrategy: "IPIfNonMatch" } })],
    ["an unknown section", (document) => ({ ...document, version: { min: "1.0.0" } })],
    [
      "an outbound without tag",
      (document) => ({ ...document, outbounds: [...document.outbounds, { protocol: "dns" }] }),
    ],
    [
      "rules with the same tag twice",
      (document) => ({
        ...document,
        routing: { rules: [1, 2].map((port) => ({ ruleTag: "twice", port, outboundTag: "block" })) },
      }),
    ],
  ])("%s restarts the engine", async (_what, change) => {
    expect(await start(change(config))).toEqual(done);
    expect((await xray.engine.readTraffic()).incarnation).not.toBe(incarnation);
    expect(await carrying(protocols, ports)).toEqual(tags);
  });
});

test("rules that were set by calls go with the config that changes them, and nobody who is connected", async () => {
  const { routing } = xray.engine;
  if (routing === undefined) throw new Error("Xray has rules");
  const rule = JSON.stringify({ ruleTag: "asked", inboundTag: ["vmess"], outboundTag: "block" });
  await routing.addRule(rule, false);
  expect(await carrying(proxyProtocols, ports)).toEqual(["vless", "trojan", "shadowsocks"]);
  // Many users at once put the inbound in place of itself: it must know all who were there.
  const crowd = Array.from({ length: 50 }, (_, index) => userOf(`${index}`, "ss2022"));
  expect(await xray.engine.updateUsers(crowd)).toEqual(done);
  expect(await xray.usersOn("ss2022")).toHaveLength(51);
  expect(await start(config)).toEqual(done);
  expect(await carrying(proxyProtocols, ports)).toEqual(["vless", "vmess", "trojan", "shadowsocks"]);
  await expectNoneDropped(["ss2022"]);

  await routing.addRule(rule, false);
  process.kill(await xray.pid(), "SIGKILL");
  await until("back", () => xray.restarts.length === 1);
  expect(await carrying(proxyProtocols, ports)).toEqual(["vless", "trojan", "shadowsocks"]);
});

test("a config repeated after a live change costs no call", async () => {
  const changed = { ...config, inbounds: without("trojan") };
  await start(changed);
  const calls = () => xray.engine.sysStats().then(({ mallocs }) => mallocs);
  for (const connection of steady) connection.close();
  await until("quiet", async () => Number(-(await calls()) + (await calls())) < 1_000);
  const [before, idle] = [await calls(), await calls()];
  await start(changed);
  const after = await calls();
  expect(Number(after - idle)).toBeLessThan(Number(idle - before) + 1_000);
});

describe("many Shadowsocks-2022 users", () => {
  const crowd = Array.from({ length: 2_000 }, (_, index) => userOf(`${index}`, "ss2022", "vless"));

  test("come and go with their inbound, which others do not notice", async () => {
    const index = tags.indexOf("ss2022");
    const began = performance.now();
    expect(await xray.engine.updateUsers(crowd)).toEqual(done);
    const last = crowd[1_999];
    expect(await carrying([shadowsocks2022], [ports[index] ?? 0], last)).toEqual(["ss2022"]);
    // One by one it takes Xray ten times as long.
    expect(performance.now() - began).toBeLessThan(3_000);
    expect(await xray.usersOn("ss2022")).toHaveLength(2_001);
    expect(await xray.usersOn("vless")).toHaveLength(2_001);
    expect(await xray.engine.replaceUsers([user])).toEqual(done);
    expect(await xray.usersOn("ss2022")).toEqual(["steady"]);
    expect(await carrying([shadowsocks2022], [ports[index] ?? 0])).toEqual(["ss2022"]);
    expect(await xray.engine.replaceUsers([])).toEqual(done);
    expect(await carrying([shadowsocks2022], [ports[index] ?? 0])).toEqual([]);
    await expectNoneDropped(["ss2022"]);
  });

  test("of whom one is refused are set but for that one", async () => {
    const twice = [userOf("a", "ss2022"), userOf("A", "ss2022")];
    const outcome = await xray.engine.updateUsers([...crowd.slice(0, 100), ...twice]);
    expect(outcome.rejected.map(({ email, inbound }) => [email, inbound])).toEqual([["A", "ss2022"]]);
    expect(await xray.usersOn("ss2022")).toHaveLength(102);
    await expectNoneDropped(["ss2022"]);
  });
});
