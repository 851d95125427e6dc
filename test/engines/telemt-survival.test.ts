import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MtProtoUser } from "../../gen/garrison/core/v1/node_config_pb.ts";
import { ApplyTimedOut, PortInUse, StartFailed } from "../../src/node/engines/engine-error.ts";
import { freePorts } from "../support/ports.ts";
import { connectTelegram, type DataCentre, isLetIn, startDataCentre } from "../support/telegram.ts";
import { isAlive, until, watchersOf } from "./engine-under-test.ts";
import { onEveryTelemt } from "./telemt-kinds.ts";
import { createTelemtUnderTest, type TelemtUnderTest, telemtConfig, telemtUser } from "./telemt-under-test.ts";

const [alice, bob] = [telemtUser(1), telemtUser(2)];
const soon = { adoptMs: 400, adoptToldMs: 400, drainMs: 1_000 };

onEveryTelemt("survival", (kind) => {
  let telemt: TelemtUnderTest;
  let dataCentre: DataCentre;
  let ports: number[];
  let port: number;

  beforeEach(async () => {
    telemt = await createTelemtUnderTest(kind);
    dataCentre = await startDataCentre();
    ports = await freePorts(2);
    [port = 0] = ports;
  });
  afterEach(async () => {
    await telemt.close();
    await dataCentre.close();
  });

  const run = (...users: MtProtoUser[]) => telemt.engine.apply(telemtConfig(dataCentre.address, { port, users }));
  const anew = async (options: Parameters<typeof createTelemtUnderTest>[1]) => {
    await telemt.close();
    telemt = await createTelemtUnderTest(kind, options);
  };

  describe("a killed telemt", () => {
    test("is back at once, with all its users, those that came later too", async () => {
      await run(alice);
      await run(alice, bob);
      const pid = await telemt.pid();
      process.kill(pid, "SIGKILL");
      await until("back", () => telemt.restarts.length === 1);
      expect(telemt.exits).toMatchObject([{ code: null, signal: "SIGKILL", restartInMs: 0 }]);
      expect(telemt.exits[0]?.incarnation).toContain(`/${pid}/`);
      expect(telemt.restarts[0]).toContain(`/${await telemt.pid()}/`);
      expect(telemt.states).toEqual(["starting", "running", "restarting", "running"]);
      expect(await isLetIn(port, bob.secret)).toBe(true);
      await until("no watcher", async () => (await watchersOf(pid)).length === 0);
      expect(await watchersOf(await telemt.pid())).toHaveLength(1);
    });

    test("is not started again when a stop comes first", async () => {
      await run(alice);
      const pid = await telemt.pid();
      process.kill(pid, "SIGKILL");
      await telemt.engine.stop();
      await until("dead", async () => !(await isAlive(pid)));
      await sleep(200);
      expect([telemt.engine.state, telemt.restarts]).toEqual(["stopped", []]);
      expect(await isLetIn(port, alice.secret).catch(() => false)).toBe(false);
    });
  });

  test("one that hangs is killed and comes back", async () => {
    await anew({ health: { periodMs: 50, timeoutMs: 50, failures: 5 } });
    await run(alice);
    const pid = await telemt.pid();
    process.kill(pid, "SIGSTOP");
    await until("back", () => telemt.restarts.length === 1);
    expect(telemt.exits).toMatchObject([{ signal: "SIGKILL" }]);
    expect(await isAlive(pid)).toBe(false);
    expect(await isLetIn(port, alice.secret)).toBe(true);
  });

  describe("a port that another program has", () => {
    let other: Server;
    beforeEach(async () => {
      other = createServer().listen(ports[1], "127.0.0.1");
      await once(other, "listening");
    });
    afterEach(() => other.close());

    test("is what a start fails by", async () => {
      const config = telemtConfig(dataCentre.address, { port: ports[1] ?? 0, users: [alice] });
      await expect(telemt.engine.apply(config)).rejects.toThrow(PortInUse);
      expect(telemt.engine.state).toBe("stopped");
    });

    test("is not moved to: what ran before runs again", async () => {
      await run(alice);
      const config = telemtConfig(dataCentre.address, { port: ports[1] ?? 0, users: [alice, bob] });
      await expect(telemt.engine.apply(config)).rejects.toThrow(/address already in use/i);
      expect(telemt.engine.state).toBe("running");
      expect([await isLetIn(port, alice.secret), await isLetIn(port, bob.secret)]).toEqual([true, false]);
    });
  });

  test("a stop does not wait for a start, which fails", async () => {
    const starting = run(alice).catch((error: unknown) => error);
    await until("starting", () => telemt.engine.state === "starting");
    await telemt.engine.stop();
    expect(await starting).toBeInstanceOf(StartFailed);
    expect(telemt.engine.state).toBe("stopped");
  });

  describe("when the node dies", () => {
    let node: ChildProcess | undefined;
    afterEach(() => node?.kill("SIGKILL"));

    /** A process that runs an engine as a node does, and the pid of its telemt. */
    async function startNode(): Promise<number> {
      node = spawn(process.execPath, [new URL("telemt-node-to-kill.ts", import.meta.url).pathname], {
        stdio: ["pipe", "pipe", "inherit"],
        env: {
          ...process.env,
          KIND: kind,
          RUN_DIR: telemt.runDir,
          DATA_CENTRE: dataCentre.address,
          PORT: `${port}`,
        },
      });
      if (node.stdout === null) throw new Error("no stdout");
      for await (const line of createInterface(node.stdout)) return Number(line);
      throw new Error("the node ended before its engine ran");
    }

    test.each(["SIGKILL", "SIGTERM"] as const)("by %s, telemt dies with it, and the next node runs", async (signal) => {
      const pid = await startNode();
      expect(await isAlive(pid)).toBe(true);
      node?.kill(signal);
      await until("telemt is gone", async () => !(await isAlive(pid)), 2_000);
      await until("no watcher", async () => (await watchersOf(pid)).length === 0, 2_000);
      await run(alice);
      expect(await isLetIn(port, alice.secret)).toBe(true);
    });

    test("and nobody watches any more, the next node ends what was left", async () => {
      const pid = await startNode();
      for (const watcher of await watchersOf(pid)) process.kill(watcher, "SIGKILL");
      node?.kill("SIGKILL");
      await until("nobody watches", async () => (await watchersOf(pid)).length === 0);
      expect(await isAlive(pid)).toBe(true);
      await run(alice);
      expect(await isAlive(pid)).toBe(false);
      expect(await isLetIn(port, alice.secret)).toBe(true);
    });
  });

  if (kind === "the stand-in") {
    test("one that cannot reach Telegram runs on, and it is said once, and when it can again", async () => {
      await anew({ health: { periodMs: 20, timeoutMs: 3_000, failures: 5 } });
      await run(alice);
      const told = () => telemt.lines.filter((line) => line.includes("ready"));
      await telemt.breakStandIn({ notReady: "no_healthy_upstreams" });
      await until("told", () => told().length > 0);
      await sleep(200);
      await telemt.breakStandIn({});
      await until("told again", () => told().length > 1);
      expect(told()).toEqual([
        "[garrison] telemt of inbound 7 is not ready: no_healthy_upstreams",
        "[garrison] telemt of inbound 7 is ready",
      ]);
      expect([telemt.engine.state, telemt.exits]).toEqual(["running", []]);
    });

    test("one that is too old is refused", async () => {
      await telemt.breakStandIn({ version: "3.3.27" });
      await expect(run(alice)).rejects.toThrow("telemt 3.3.27 is too old: 3.4.14 or newer is needed");
      expect(telemt.engine.state).toBe("stopped");
    });

    test.each([
      ["answers garbage", { garbage: "<html>" }],
      ["says nothing", { silent: true }],
    ])("one that %s from the start is given up", async (_what, faults) => {
      await anew({ startTimeoutMs: 1_500 });
      await telemt.breakStandIn(faults);
      await expect(run(alice)).rejects.toThrow("telemt did not serve within 1500 ms");
      expect(await isLetIn(port, alice.secret).catch(() => "refused")).toBe("refused");
      expect(telemt.engine.state).toBe("stopped");
    });

    describe("one that does not see that its files have changed", () => {
      beforeEach(async () => {
        await anew({ pace: soon });
        await run(alice, bob);
      });

      test("is told", async () => {
        await telemt.breakStandIn({ ignoresFiles: true });
        await run(alice, telemtUser(3));
        expect(await isLetIn(port, telemtUser(3).secret)).toBe(true);
        expect(await isLetIn(port, bob.secret)).toBe(false);
      });

      test("even when it is told, is left as it was, with its files and its sessions", async () => {
        const session = await connectTelegram(port, bob.secret);
        await session.exchange(1, 1);
        const file = join(telemt.runDir, "mtproto-7", "access.toml");
        const before = await readFile(file, "utf8");
        const pid = await telemt.pid();
        await telemt.breakStandIn({ ignoresFiles: true, ignoresSignals: true });
        await expect(run(alice, telemtUser(3))).rejects.toThrow(ApplyTimedOut);
        expect(await readFile(file, "utf8")).toBe(before);
        expect([telemt.engine.state, await telemt.pid()]).toEqual(["running", pid]);
        await session.exchange(1, 1);
        await session.close();
        expect(await isLetIn(port, telemtUser(3).secret)).toBe(false);
        await telemt.breakStandIn({});
        await run(alice, telemtUser(3));
        expect(await isLetIn(port, telemtUser(3).secret)).toBe(true);
      });

      test("and that is killed then comes back with the change", async () => {
        await anew({ pace: { ...soon, adoptMs: 20_000 } });
        await run(alice);
        await telemt.breakStandIn({ ignoresFiles: true });
        const changing = run(alice, bob);
        await until("written", async () => {
          const text = await readFile(join(telemt.runDir, "mtproto-7", "access.toml"), "utf8");
          return text.includes(bob.secret);
        });
        const killed = performance.now();
        process.kill(await telemt.pid(), "SIGKILL");
        await changing;
        expect(performance.now() - killed).toBeLessThan(10_000);
        expect(await isLetIn(port, bob.secret)).toBe(true);
        expect([telemt.exits.length, telemt.restarts.length]).toEqual([1, 1]);
        await telemt.breakStandIn({});
      });
    });

    test("one that answers garbage while it is changed is started again with what was in force", async () => {
      await anew({ pace: soon });
      await run(alice);
      const pid = await telemt.pid();
      await telemt.breakStandIn({ garbage: "<html>" });
      const changed = run(alice, bob).catch((error: unknown) => error);
      await until("it was ended", async () => !(await isAlive(pid)), 10_000);
      await telemt.breakStandIn({});
      expect(await changed).toBeInstanceOf(ApplyTimedOut);
      expect([await isLetIn(port, alice.secret), await isLetIn(port, bob.secret)]).toEqual([true, false]);
    });
  }
});
