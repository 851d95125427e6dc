import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { User } from "../../gen/service/node_pb.ts";
import { createAccountKinds } from "../../src/node/engines/xray/accounts.ts";
import { changingRecords, disturbedRecord } from "../../src/node/engines/xray/plan-records.ts";
import { Journal } from "../../src/platform/files/journal.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { xrayPath } from "../xray-path.ts";
import { createEngineUnderTest, type EngineUnderTest, isAlive, until } from "./engine-under-test.ts";

// An engine is left by one process and found by the next: here by one object and the next.

let runDir: string;
let stateFile: string;
let ports: number[];
let last: EngineUnderTest | undefined;
beforeEach(async () => {
  runDir = await mkdtemp(join(tmpdir(), "garrison-resume-"));
  stateFile = join(runDir, "state");
  ports = await freePorts(proxyProtocols.length);
});
afterEach(async () => {
  await last?.engine.stop();
  await last?.close();
  last = undefined;
  await rm(runDir, { recursive: true });
});

async function open(): Promise<EngineUnderTest> {
  last = await createEngineUnderTest({ runDir, stateFile });
  return last;
}

/** Leaves the engine, as a node does that ends, and finds it again, as the next one does. */
async function leaveAndFind(): Promise<{ xray: EngineUnderTest; keepAlive: bigint | undefined }> {
  await last?.close();
  const xray = await open();
  return { xray, keepAlive: (await xray.engine.recover())?.keepAlive };
}

const everywhere = proxyProtocols.map(({ name }) => name);
const request = (users: User[], config = nodeConfig(ports)) => ({ config, users, excludeInbounds: [], keepAlive: 60n });
const names = (users: readonly User[]) => users.map(({ email }) => email).sort();

/** What a caller's config changes to. */
function changed(change: (config: { inbounds: object[]; outbounds: object[]; log?: object }) => void): string {
  const config = JSON.parse(nodeConfig(ports));
  change(config);
  return JSON.stringify(config);
}

describe("an engine that was left", () => {
  test("is found as it is after changes of every kind, and nothing has to be done to it", async () => {
    const first = await open();
    const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => userOf(name, ...everywhere)) as [User, User, User, User];
    await first.engine.start(request([a, b, c]));
    const pid = await first.pid();
    await first.engine.updateUsers([d, { ...b, inbounds: ["trojan"] }, userOf("nobody", "no such inbound")]);
    // Xray refuses whoever is there already in other letters.
    const refused = await first.engine.updateUsers([{ ...userOf("D", "vless"), email: "D" }]);
    expect(refused.rejected).toHaveLength(1);
    await first.engine.replaceUsers([a, { ...b, inbounds: ["trojan"] }, d]);
    const live = changed(({ outbounds }) => outbounds.push({ protocol: "blackhole", tag: "nowhere" }));
    await first.engine.start(request([a, { ...b, inbounds: ["trojan"] }, d], live));
    await first.engine.routing?.addRule(
      JSON.stringify({ ruleTag: "mine", ip: ["192.0.2.1"], outboundTag: "nowhere" }),
      false,
    );
    await first.engine.updateUsers([{ ...a, inbounds: ["vless", "trojan"] }]);
    expect(await first.pid()).toBe(pid);

    const { xray, keepAlive } = await leaveAndFind();
    expect([xray.engine.state, await xray.pid(), keepAlive]).toEqual(["running", pid, 60n]);
    expect(xray.engine.version).toBe(first.engine.version);
    const tags = ["a", "b", "c", "d"].map((name) => xray.engine.knows("user", name));
    expect(tags).toEqual([true, true, false, true]);
    expect(xray.engine.knows("outbound", "nowhere")).toBe(true);
    expect((await xray.engine.routing?.rules())?.map(({ ruleTag }) => ruleTag)).toContain("mine");
    expect([await xray.usersOn("vless"), await xray.usersOn("trojan")]).toEqual([
      ["a", "d"],
      ["a", "b", "d"],
    ]);

    // Who is as they should be is not touched: what was done behind the back stays.
    await xray.alter("vless", { remove: "a" });
    await xray.engine.replaceUsers([{ ...a, inbounds: ["vless", "trojan"] }, { ...b, inbounds: ["trojan"] }, d]);
    expect(await xray.usersOn("vless")).toEqual(["d"]);
    // Nor is the structure.
    await xray.engine.routing?.removeRule("mine");
    await xray.engine.start(request([d], live));
    expect(await xray.pid()).toBe(pid);
    expect(xray.states).toEqual(["restarting", "running"]);
  });

  test("is found with another config that means the same: its log files, and how long silent callers have", async () => {
    const first = await open();
    await first.engine.start(request([]));
    const pid = await first.pid();
    const access = join(runDir, "access.log");
    const logged = changed((config) => Object.assign(config, { log: { ...config.log, access } }));
    await first.engine.start({ ...request([], logged), keepAlive: 7n });
    const { xray, keepAlive } = await leaveAndFind();
    expect([await xray.pid(), keepAlive]).toEqual([pid, 7n]);
    await until("the log file is there", () =>
      readFile(access).then(
        () => true,
        () => false,
      ),
    );
  });

  test("is not found again once it was stopped", async () => {
    const first = await open();
    await first.engine.start(request([userOf("a", "vless")]));
    const pid = await first.pid();
    await first.engine.stop();
    expect(await isAlive(pid)).toBe(false);
    const { xray, keepAlive } = await leaveAndFind();
    expect([xray.engine.state, keepAlive]).toEqual(["stopped", undefined]);
  });

  test("that was killed meanwhile is started again, with its users", async () => {
    const first = await open();
    await first.engine.start(request([userOf("a", "vless")]));
    const pid = await first.pid();
    await first.close();
    process.kill(pid, "SIGKILL");
    await until("gone", async () => !(await isAlive(pid)));
    const { xray } = await leaveAndFind();
    expect(xray.engine.state).toBe("running");
    expect(await xray.usersOn("vless")).toEqual(["a"]);
    expect(xray.vanished.map((incarnation) => incarnation.split("/")[1])).toEqual([`${pid}`]);
  });

  test("is left alone by a process that ends while it looks for it", async () => {
    const first = await open();
    await first.engine.start(request([userOf("a", "vless")]));
    const pid = await first.pid();
    await first.close();
    const second = await open();
    const recovering = second.engine.recover();
    await second.close();
    await recovering;
    const { xray } = await leaveAndFind();
    expect([await xray.pid(), xray.engine.state]).toEqual([pid, "running"]);
  });

  test("is left alone when its process ends in the middle of a change that needs a restart", async () => {
    const first = await open();
    await first.engine.start(request([userOf("a", "vless")]));
    const pid = await first.pid();
    const dns = changed((config) => Object.assign(config, { dns: { servers: ["127.0.0.1"] } }));
    const starting = first.engine.start(request([userOf("a", "vless")], dns)).catch((error: unknown) => error);
    const closing = first.close();
    expect(String(await starting)).toContain("stopped while xray was starting");
    await closing;
    expect(await isAlive(pid)).toBe(true);
    const { xray } = await leaveAndFind();
    expect([await xray.pid(), await xray.usersOn("vless")]).toEqual([pid, ["a"]]);
  });

  test("that hangs is ended, and started again", async () => {
    const first = await open();
    await first.engine.start(request([userOf("a", "vless")]));
    const pid = await first.pid();
    await first.close();
    process.kill(pid, "SIGSTOP");
    const { xray } = await leaveAndFind();
    expect(await isAlive(pid)).toBe(false);
    expect(xray.vanished).toHaveLength(1);
    expect(await xray.usersOn("vless")).toEqual(["a"]);
    expect(xray.lines.some((line) => line.includes("cannot go on with the xray"))).toBe(true);
  }, 20_000);

  test("in the middle of a change of its structure is ended, and started again as it was before", async () => {
    const first = await open();
    await first.engine.start(request([userOf("a", "vless")]));
    const pid = await first.pid();
    await first.close();
    await addToState(disturbedRecord);
    const { xray } = await leaveAndFind();
    expect([await isAlive(pid), xray.engine.state]).toEqual([false, "running"]);
    // Nothing that it had counted is lost with it.
    expect(xray.drained.map(({ incarnation }) => incarnation.split("/")[1])).toEqual([`${pid}`]);
    expect(xray.vanished).toEqual([]);
    expect(await xray.usersOn("vless")).toEqual(["a"]);
  });

  test("in the middle of changes of users is found, and the changes are finished", async () => {
    const first = await open();
    const [kept, gone, come] = [userOf("kept", "vless"), userOf("gone", "vless"), userOf("come", "vless")];
    await first.engine.start(request([kept, gone]));
    const pid = await first.pid();
    await first.close();
    const kind = createAccountKinds()("vless", {});
    if (kind === undefined) throw new Error("no kind");
    const accountOf = (user: User) => {
      const account = kind.account(user);
      if (typeof account === "string") throw new Error(account);
      return account;
    };
    const inbound = { tag: "vless", kind };
    const changes = [
      { inbound, before: accountOf(gone), after: undefined },
      { inbound, before: undefined, after: accountOf(come) },
    ];
    await addToState(...changingRecords(changes));
    const { xray } = await leaveAndFind();
    expect(await xray.pid()).toBe(pid);
    expect(await xray.usersOn("vless")).toEqual(["come", "kept"]);
    expect([xray.engine.knows("user", "gone"), xray.engine.knows("user", "come")]).toEqual([false, true]);
  });
});

test("where the state cannot be kept the engine runs all the same, it is told, and the next node ends it", async () => {
  stateFile = join(runDir, "missing/state");
  const first = await open();
  await first.engine.start(request([userOf("a", "vless")]));
  expect(first.lines.some((line) => line.includes("the state cannot be kept"))).toBe(true);
  const pid = await first.pid();
  await first.close();
  expect(await isAlive(pid)).toBe(true);
  const { xray } = await leaveAndFind();
  expect([await isAlive(pid), xray.engine.state]).toEqual([false, "stopped"]);
});

describe("when the node is killed at any moment", () => {
  let node: ChildProcess | undefined;
  afterEach(() => node?.kill("SIGKILL"));

  test.each([5, 20, 45, 80, 130, 210, 340])("while it sets users, after %d ms", async (delayMs) => {
    const users = Array.from({ length: 600 }, (_, index) => userOf(`${index}`, ...everywhere));
    node = spawn(process.execPath, [new URL("node-to-kill.ts", import.meta.url).pathname], {
      stdio: ["pipe", "pipe", "inherit"],
      env: {
        ...process.env,
        XRAY_EXECUTABLE_PATH: await xrayPath(),
        ...{ RUN_DIR: runDir, STATE_FILE: stateFile, CONFIG: nodeConfig(ports), USERS: `${users.length}` },
      },
    });
    if (node.stdout === null) throw new Error("no stdout");
    const lines = createInterface(node.stdout);
    const pid = Number((await lines[Symbol.asyncIterator]().next()).value);
    await sleep(delayMs);
    node.kill("SIGKILL");
    await until("killed", async () => !(await isAlive(node?.pid ?? 0)));
    const xray = await open();
    await xray.engine.recover();
    expect(await xray.pid()).toBe(pid);
    // What is known of it is what it holds: then a set of users makes it hold just these.
    const wanted = users.filter((_, index) => index % 3 > 0);
    expect(await xray.engine.replaceUsers(wanted)).toEqual({ skipped: [], rejected: [] });
    for (const tag of everywhere) expect(await xray.usersOn(tag)).toEqual(names(wanted));
    expect(await xray.pid()).toBe(pid);
  });
});

/** Adds what a process would have that is killed just then. */
async function addToState(...records: string[]): Promise<void> {
  const { journal } = await Journal.open(stateFile);
  await journal.append(...records);
  await journal.close();
}
